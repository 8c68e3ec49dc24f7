// One program with the SDK, on Node and, with `npm run test:long`, on Bun and Deno, which are installed for this test.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { LONG } from "../harness/long-run.js";
import { npmProject } from "../harness/npm-project.js";
import { startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();
const cache = fileURLToPath(new URL("../.cache", import.meta.url));
const runtimes = LONG
  ? await npmProject("runtimes", {
      "package.json": JSON.stringify({ private: true, dependencies: { bun: "1.4.5", deno: "2.9.6" } }),
    })
  : undefined;

/** The command line by which each runtime runs a program. */
const COMMANDS: [name: string, command: string, args: readonly string[]][] = [["Node", process.execPath, []]];
if (runtimes !== undefined) {
  const modules = join(runtimes, "node_modules");
  // The binary that Bun's install script would put in place; no install scripts run here.
  const bun = `bun-linux-${process.arch === "arm64" ? "aarch64" : "x64"}`;
  COMMANDS.push(["Bun", join(modules, "@oven", bun, "bin", "bun"), []]);
  COMMANDS.push(["Deno", join(modules, ".bin", "deno"), ["run", "--allow-all", "--node-modules-dir=manual"]]);
}

/** Prints a line for each thing that it tries. It has no error handler, so any error ends it. */
const PROGRAM = `
import { once } from "node:events";
import http, { createServer } from "node:http";
import http2 from "node:http2";
import { text } from "node:stream/consumers";
import { dial, EndpointAgent, forward, listen, serve } from "@piko/client";
import { WebSocketServer } from "ws";

const proxy = process.env.PIKO_PROXY_URL;
const ask = async (endpoint, body) => {
  const headers = { "x-piko-endpoint": endpoint, connection: "close" };
  return await (await fetch(proxy, { method: "POST", body, headers })).text();
};
const listeners = [
  await serve("listener", (request, response) => request.pipe(response)),
  await serve("fetch", { fetch: async (request) => new Response("got " + (await request.text())) }),
  await serve("h2", http2.createServer((request, response) => response.end("by " + request.httpVersion))),
  (await listen("echo")).on("connection", (socket) => socket.pipe(socket)),
];
console.log((await ask("listener", "x".repeat(100_000))).length);
console.log(await ask("fetch", "words"));
console.log(await ask("h2"));
const socket = await dial("echo");
socket.end("echoed");
console.log(await text(socket));

const web = createServer((request, response) => response.end("forwarded")).listen(0, "127.0.0.1");
await once(web, "listening");
listeners.push(await forward("forward", web.address().port));
console.log(await ask("forward"));
const agent = new EndpointAgent("forward");
const [response] = await once(http.get("http://x/", { agent }), "response");
console.log(await text(response));
web.close();

let answer;
const slow = await serve("slow", (request, response) => void (answer = () => response.end("whole")));
const underWay = ask("slow");
while (answer === undefined) await new Promise((resolve) => setImmediate(resolve));
const closing = slow.close();
answer();
console.log(await underWay);
await closing;

const server = createServer();
new WebSocketServer({ server }).on("connection", (client) => client.on("message", (data) => client.send(String(data))));
const sockets = await serve("socket", server);
const masked = (bytes) => Buffer.from([bytes[0], bytes[1] | 0x80, 0, 0, 0, 0, ...bytes.slice(2)]);
const key = Buffer.alloc(16).toString("base64");
const fields = { connection: "upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": key };
const upgrade = http.request(proxy, { headers: { ...fields, "x-piko-endpoint": "socket" } });
upgrade.end();
const [, client] = await once(upgrade, "upgrade");
let seen = "";
const frame = new Promise((resolve) => {
  client.on("data", (data) => {
    seen += data.toString("hex");
    if (seen.endsWith("880203e9")) client.write(masked([0x88, 2, 0x03, 0xe9]));
    resolve();
  });
});
client.write(masked([0x81, 2, 0x68, 0x69]));
await frame;
await sockets.close();
console.log(seen);
for (const listener of listeners) await listener.close();
process.exit();
`;

describe("a program with the SDK", () => {
  it.each(COMMANDS)("serves, listens, forwards, dials and closes on %s", async (_name, command, args) => {
    // Inside the workspace, where the package is found by name.
    await mkdir(cache, { recursive: true });
    const folder = await mkdtemp(join(cache, "runtimes-program-"));
    scene.defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "program.mjs");
    await writeFile(path, PROGRAM);
    const server = await startServer(scene);
    const env = {
      PIKO_CONNECT_URL: `http://${server.upstream}`,
      PIKO_PROXY_URL: `http://${server.proxy}`,
      DENO_DIR: join(folder, "deno"),
      DENO_NO_UPDATE_CHECK: "1",
    };
    const { code, stdout, stderr } = await run(command, [...args, path], { cwd: folder, env, ms: 60_000 });
    expect({ code, lines: stdout.split("\n") }, stderr).toEqual({
      code: 0,
      lines: [
        ...["100000", "got words", "by 2.0", "echoed", "forwarded", "forwarded", "whole"],
        // The echoed frame, and close code 1001.
        ...["81026869880203e9", ""],
      ],
    });
  });
});
