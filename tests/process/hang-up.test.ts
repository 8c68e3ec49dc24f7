// SIGHUP: the end of what runs at a terminal, and nothing to what runs without one.

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { PIKO, piko, startAgent, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();
let service: Service;

beforeAll(async () => {
  service = await Service.start(stage);
});

it("is nothing to server, agent and forwarder without a terminal", async () => {
  const server = await startServer(scene);
  const agent = await startAgent(scene, server.upstream, "web", service.addr);
  const proxyUrl = `http://${server.proxy}`;
  const forward = piko(scene, "forward", ["forward", "tcp", "127.0.0.1:0", "web", "--connect.url", proxyUrl]);
  await forward.waitFor("listening");
  const programs = [server.program, agent, forward];
  for (const program of programs) program.signal("SIGHUP");
  const response = await fetch(`${proxyUrl}/item`, { headers: { "x-piko-endpoint": "web" } });
  expect(response.status).toBe(200);
  await response.arrayBuffer();
  // Each ends with 0: of a signal's own accord it would have none.
  for (const program of programs.toReversed()) await program.stop();
  for (const program of programs) expect(program.exit).toEqual({ code: 0, signal: null });
});

it.runIf(haveTools("script")).each([
  ["its input", "<&0 2>log"],
  ["its errors", "</dev/null"],
])("stops a server whose terminal, at %s, is closed, in good order", async (_, redirection) => {
  const folder = mkdtempSync(join(tmpdir(), "piko-hang-up-"));
  scene.defer(() => rmSync(folder, { recursive: true, force: true }));
  const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
    (name) => `--${name}.bind-addr=127.0.0.1:0`,
  );
  const command = `${PIKO} server ${ports.join(" ")} --log.format=json`;
  // The terminal tells its shell, and the shell its job. It stays to tell the exit code.
  const script = `cd ${folder}; ${command} ${redirection} & job=$!; trap "kill -HUP $job; kill -HUP $job" HUP; wait $job; wait $job; echo $? >code.part; mv code.part code`;
  const terminal = startProgram(scene, "terminal", "script", ["-qec", script, "/dev/null"]);
  const started = redirection.includes("2>")
    ? () =>
        existsSync(join(folder, "log")) &&
        readFileSync(join(folder, "log"), "utf8").includes("server started")
    : () => terminal.lines.some(({ text }) => text.includes("server started"));
  await eventually(started, "a started server");
  await terminal.kill();
  await eventually(() => existsSync(join(folder, "code")), "an exit code");
  expect(readFileSync(join(folder, "code"), "utf8")).toBe("0\n");
  if (redirection.includes("2>")) {
    const log = readFileSync(join(folder, "log"), "utf8");
    expect(log).toContain('"signal":"SIGHUP"');
    expect(log).toContain("shutdown complete");
  }
});
