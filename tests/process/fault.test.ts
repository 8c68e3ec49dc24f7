// An internal error, planted in the program: the connection that triggers it ends, and the process keeps serving all others.

import { writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { PIKO } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();

/** Throws when the path of a request is read. */
const FAULT = `
const { toString } = Buffer.prototype;
Buffer.prototype.toString = function (...args) {
  const text = toString.apply(this, args);
  if (text === "/_piko/planted") throw new Error("planted");
  return text;
};
`;

it("an internal error ends its connection, with one log line, and nothing else", async () => {
  const file = `${await scene.directory()}/plant.mjs`;
  await writeFile(file, FAULT);
  const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
    (port) => `--${port}.bind-addr=127.0.0.1:0`,
  );
  const args = ["server", "--drain-delay=0s", "--log.format=json", ...ports];
  const program = startProgram(scene, "server", PIKO, args, {
    stopCode: 0,
    env: { NODE_OPTIONS: `--import file://${file}` },
  });
  const { fields } = await program.waitFor("server started");
  const proxy = String(fields["proxy"]);
  const ask = (client: RawClient, path: string): void => {
    client.send(`GET /_piko/${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
  };
  const other = await RawClient.connect(scene, proxy);
  ask(other, "before");
  expect((await other.response()).status).toBe(404);
  const client = await RawClient.connect(scene, proxy);
  ask(client, "planted");
  expect((await client.rest()).toString()).toBe("");
  const line = await program.waitFor("connection ended by an internal error");
  expect(line.fields).toMatchObject({ level: "error", error: "planted" });
  expect(String(line.fields["stack"])).toContain("Lifecycle.begin");
  ask(other, "behind");
  expect((await other.response()).status).toBe(404);
  const faults = program.lines.filter(({ fields: { msg } }) => String(msg).includes("internal error"));
  expect(faults).toHaveLength(1);
});
