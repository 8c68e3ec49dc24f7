// Programs with the SDK that have no error handlers of their own: what they survive, and what ends them.

import { createHmac } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { dial } from "@piko/client";
import { beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { eventually } from "../harness/deadline.js";
import { LONG } from "../harness/long-run.js";
import { type RunningServer, startServer } from "../harness/piko.js";
import { type Program, startProgram } from "../harness/program.js";
import { perTest } from "../harness/stage.js";
import { base64url } from "../harness/tokens.js";

const scene = perTest();
const cache = fileURLToPath(new URL("../.cache", import.meta.url));
let folder = "";

beforeEach(async () => {
  // Inside the workspace, where the package is found by name.
  await mkdir(cache, { recursive: true });
  folder = await mkdtemp(join(cache, "unattended-"));
  scene.defer(() => rm(folder, { recursive: true }));
});

/** Everything that a program can do with the SDK, without a single error handler. */
const PROGRAM = `
import { createServer } from "node:http";
import { forward, listen, serve } from "@piko/client";
import { WebSocketServer } from "ws";

const handlers = {
  "/": (request, response) => response.end("served"),
  "/throws": () => { throw new Error("thrown in a handler"); },
  "/rejects": async () => { throw new Error("rejected by a handler"); },
  "/late": async (request, response) => { response.write("some"); throw new Error("late in a handler"); },
  "/echo": (request, response) => request.pipe(response),
  "/endless": (request, response) => {
    const more = () => { while (response.write("x".repeat(65_536))); };
    response.on("drain", more);
    more();
  },
};
const web = createServer();
new WebSocketServer({ server: web }).on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
await serve("web", (request, response) => (handlers[request.url] ?? handlers["/"])(request, response));
await serve("fetch", { fetch: async (request) => (request.url.endsWith("/bad") ? 7 : new Response(request.body)) });
await serve("socket", web);
await forward("nobody", "127.0.0.1:1");
(await listen("echo")).on("connection", (socket) => socket.pipe(socket));
console.log("ready");
process.once("SIGTERM", () => process.exit(0));
`;

async function start(text: string, environment: Record<string, string>): Promise<Program> {
  const path = join(folder, "program.mjs");
  await writeFile(path, text);
  const program = startProgram(scene, "program", process.execPath, [path], { env: environment });
  return program;
}

async function status(server: RunningServer, endpoint: string, path = "/"): Promise<number> {
  const headers = { "x-piko-endpoint": endpoint, connection: "close" };
  return (await fetch(`http://${server.proxy}${path}`, { headers })).status;
}

function served(server: RunningServer): Promise<true> {
  return eventually(async () => (await status(server, "web").catch(() => 0)) === 200, "an answer");
}

/** Starts the server again, on the same ports. */
function again(
  { proxy, upstream }: RunningServer,
  flags: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
  return startServer(scene, { "proxy.bind-addr": proxy, "upstream.bind-addr": upstream, ...flags });
}

/** Begins a request as a client, and resets the connection. */
async function abort(server: RunningServer, request: string): Promise<void> {
  const [host = "", port = ""] = server.proxy.split(":");
  const socket = connect(Number(port), host);
  socket.on("error", () => {});
  const begun = new Promise((resolve) => socket.once("data", resolve).once("close", resolve));
  socket.write(request);
  if (request.startsWith("GET")) await begun;
  await new Promise<void>((resolve) => {
    socket.once("close", () => resolve());
    setImmediate(() => socket.resetAndDestroy());
  });
}

describe("a program without error handlers", () => {
  it("survives bad handlers and clients that leave", async () => {
    const server = await startServer(scene);
    const program = await start(PROGRAM, { PIKO_CONNECT_URL: `http://${server.upstream}` });
    await program.waitForLine(({ text }) => text === "ready", "start");
    expect(await status(server, "web", "/throws")).toBe(500);
    expect(await status(server, "web", "/rejects")).toBe(500);
    expect(await status(server, "fetch", "/bad")).toBe(500);
    // On a keep-alive connection: otherwise undici takes the connection's end for the end of the body.
    const late = fetch(`http://${server.proxy}/late`, { headers: { "x-piko-endpoint": "web" } });
    await expect(late.then((response) => response.text())).rejects.toThrow();
    for (const endpoint of ["web", "fetch"]) {
      const head = `HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${endpoint}\r\n`;
      await abort(server, `GET /endless ${head}\r\n`);
      await abort(server, `POST /echo ${head}Content-Length: 1000000\r\n\r\nsome`);
    }
    const client = new WebSocket(`ws://${server.proxy}/`, { headers: { "x-piko-endpoint": "socket" } });
    client.on("error", () => {});
    await new Promise((resolve) => client.once("open", resolve));
    client.terminate();
    for (const endpoint of ["echo", "nobody"]) {
      const socket = await dial(endpoint, { url: `http://${server.proxy}` });
      socket.write("x".repeat(100_000), () => socket.destroy());
      await new Promise((resolve) => socket.once("close", resolve));
    }
    expect(await status(server, "web")).toBe(200);
    expect(program.exit).toBeUndefined();
    // The program's log has what its handlers threw, and nothing else.
    const errors = program.lines.map(({ text }) => /^(?:\w*Error): .*/.exec(text)?.[0]).filter(Boolean);
    expect(errors).toEqual([
      "Error: thrown in a handler",
      "Error: rejected by a handler",
      "TypeError: fetch handler returned no Response",
      "Error: late in a handler",
    ]);
  });

  it("waits for a server that is down, and prints nothing", async () => {
    const server = await startServer(scene);
    const program = await start(PROGRAM, { PIKO_CONNECT_URL: `http://${server.upstream}` });
    await program.waitForLine(({ text }) => text === "ready", "start");
    await served(server);
    await server.program.kill();
    // Waits until no one listens any more.
    const [host = "", port = ""] = server.upstream.split(":");
    await new Promise((resolve) => connect(Number(port), host).once("error", resolve));
    if (LONG) await delay(60_000);
    expect(program.exit).toBeUndefined();
    await served(await again(server));
    expect(program.lines.map(({ text }) => text)).toEqual(["ready"]);
  });

  it("waits for a server that refuses its token, and returns when it is accepted", async () => {
    const key = (secret: string): Record<string, string> => ({ "upstream.auth.hmac-secret-key": secret });
    const content = `${base64url({ alg: "HS256" })}.${base64url({ sub: "program" })}`;
    const token = `${content}.${createHmac("sha256", "a good secret").update(content).digest("base64url")}`;
    const server = await startServer(scene, key("a good secret"));
    const environment = { PIKO_CONNECT_URL: `http://${server.upstream}`, PIKO_CONNECT_TOKEN: token };
    const program = await start(PROGRAM, environment);
    await program.waitForLine(({ text }) => text === "ready", "start");
    await served(server);
    await server.program.kill();
    const other = await again(server, key("another secret"));
    await other.program.waitForLine(({ text }) => /"status":401|token|auth/.test(text), "a refusal");
    await other.program.kill();
    await served(await again(server, key("a good secret")));
    expect(program.lines.map(({ text }) => text)).toEqual(["ready"]);
  });

  it.each([
    ["a missing server", "http://127.0.0.1:1", {}, "PIKO_CLIENT_TIMEOUT"],
    [
      "a refused token",
      undefined,
      { "upstream.auth.hmac-secret-key": "a good secret" },
      "PIKO_CLIENT_REFUSED",
    ],
  ])("ends with one error if its first connection fails because of %s", async (_what, url, flags, code) => {
    const server = await startServer(scene, flags);
    const options = JSON.stringify({
      url: url ?? `http://${server.upstream}`,
      token: "x.y.z",
      connectTimeoutMs: 500,
    });
    const program = await start(`import { listen } from "@piko/client"; await listen("e", ${options});`, {});
    expect(await program.exited).toEqual({ code: 1, signal: null });
    const text = program.lines.map((line) => line.text).join("\n");
    expect(text).toContain(code);
    expect(text).not.toContain("x.y.z");
  });
});
