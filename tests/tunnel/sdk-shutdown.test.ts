// How programs with the SDK shut down cleanly: one call drains a listener, whatever framework it serves. docs/guides/sdk.md
// describes the same.

import { once } from "node:events";
import { createServer, get, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { text } from "node:stream/consumers";
import { createAdaptorServer } from "@hono/node-server";
import { EndpointAgent, type Listener, serve } from "@piko/client";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { Server as SocketIoServer } from "socket.io";
import { io } from "socket.io-client";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type RunningServer, startServer } from "../harness/piko.js";
import { SlowAnswer } from "../harness/slow-answer.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
let server: RunningServer;
let endpoint = "";
let endpoints = 0;
let slow: SlowAnswer;

beforeAll(async () => {
  server = await startServer(stage, { "proxy.reconnect-wait": "0s" });
});

beforeEach(() => {
  endpoint = `shutdown-${endpoints++}`;
  slow = new SlowAnswer();
});

const fields = (): Record<string, string> => ({ "x-piko-endpoint": endpoint });

async function start(handler: Parameters<typeof serve>[1]): Promise<Listener> {
  const listener = await serve(endpoint, handler, { url: `http://${server.upstream}` });
  scene.defer(() => listener.close({ graceMs: 0 }));
  return listener;
}

function ask(): Promise<Response> {
  return fetch(`http://${server.proxy}/`, { headers: { ...fields(), connection: "close" } });
}

interface App {
  readonly web: Server;
  /** What the program calls after `listener.close()`. */
  readonly close: () => unknown;
}

function plain(listener: RequestListener): App {
  const web = createServer(listener);
  return { web, close: () => web.close() };
}

const apps: [name: string, make: () => App | Promise<App>][] = [
  ["http.Server", () => plain((_request, response) => void slow.text().then((words) => response.end(words)))],
  [
    "Express",
    () => plain(express().get("/", async (_request, response) => void response.send(await slow.text()))),
  ],
  [
    "Fastify",
    async () => {
      const app = fastify().get("/", () => slow.text());
      await app.ready();
      return { web: app.server, close: () => app.close() };
    },
  ],
  [
    "Koa",
    () => {
      const app = new Koa().use(async (context) => {
        context.body = await slow.text();
      });
      return plain(app.callback());
    },
  ],
  [
    "Hono",
    () => {
      const app = new Hono().get("/", async (context) => context.text(await slow.text()));
      const web = createAdaptorServer(app) as Server;
      return { web, close: () => web.close() };
    },
  ],
];

describe.each(apps)("a listener with %s", (_name, make) => {
  it("closes after requests in progress, and accepts no new ones", async () => {
    const { web, close } = await make();
    const listener = await start(web);
    const underWay = ask();
    await slow.asked;
    let closed = false;
    const closing = listener.close().then(() => (closed = true));
    expect((await ask()).status).toBe(502);
    expect(closed).toBe(false);
    slow.proceed();
    expect(await (await underWay).text()).toBe("whole");
    await closing;
    await close();
  });

  it("closes WebSockets with status 1001, and waits for their clients", async () => {
    const { web, close } = await make();
    const sockets = new WebSocketServer({ server: web });
    const seen: number[] = [];
    sockets.on("connection", (socket) => {
      socket.on("close", (code) => seen.push(code)).on("message", (data) => socket.send(data));
    });
    const listener = await start(web);
    const client = new WebSocket(`ws://${server.proxy}/`, { headers: fields() });
    await once(client, "open");
    client.send("x".repeat(100_000));
    await once(client, "message");
    const ended = once(client, "close");
    await listener.close();
    expect((await ended)[0]).toBe(1001);
    expect(seen).toEqual([1001]);
    sockets.close();
    await close();
  });
});

describe("a listener that closes", () => {
  it("doesn't interrupt a message that is half written", async () => {
    const web = createServer();
    const sockets = new WebSocketServer({ server: web });
    scene.defer(() => sockets.close());
    // More than tunnel and sockets can buffer: the client doesn't read yet.
    const message = Buffer.alloc(8_000_000, "m");
    sockets.on("connection", (socket) => socket.send(message));
    const listener = await start(web);
    const client = new WebSocket(`ws://${server.proxy}/`, { headers: fields() });
    client.once("upgrade", () => client.pause());
    await once(client, "open");
    const received = once(client, "message");
    const ended = once(client, "close");
    const closing = listener.close();
    client.resume();
    expect(((await received)[0] as Buffer).equals(message)).toBe(true);
    expect((await ended)[0]).toBe(1001);
    await closing;
  });

  it("drops a WebSocket that never answers at the end of its grace period", async () => {
    const web = createServer();
    web.on("upgrade", (_request, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    });
    const listener = await start(web);
    const headers = { ...fields(), connection: "upgrade", upgrade: "websocket" };
    const request = get(`http://${server.proxy}/`, { headers });
    const [, socket] = (await once(request, "upgrade")) as [IncomingMessage, NodeJS.ReadWriteStream];
    const bytes: Buffer[] = [];
    socket.on("data", (data: Buffer) => bytes.push(data)).on("error", () => {});
    const ended = new Promise((resolve) => socket.on("close", resolve));
    await listener.close({ graceMs: 300 });
    await ended;
    expect(Buffer.concat(bytes).toString("hex")).toBe("880203e9");
  });

  it("emits an event first, so that event streams can be ended", async () => {
    const listener = await start((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      listener.once("closing", () => response.end("data: last\n\n"));
    });
    const response = await ask();
    await listener.close();
    expect(await response.text()).toBe("data: 1\n\ndata: last\n\n");
  });

  it("ends keep-alive connections after their next request", async () => {
    const web = createServer(async (_request, response) => void response.end(await slow.text()));
    web.keepAliveTimeout = 60_000;
    const listener = await start(web);
    const agent = new EndpointAgent(endpoint, { url: `http://${server.proxy}`, keepAlive: true });
    scene.defer(() => agent.destroy());
    const answer = async (): Promise<[string | undefined, string]> => {
      const [response] = (await once(get("http://x/", { agent }), "response")) as [IncomingMessage];
      return [response.headers.connection, await text(response)];
    };
    slow.proceed();
    expect(await answer()).toEqual(["keep-alive", "whole"]);
    const closing = listener.close({ graceMs: 30_000 });
    expect(await answer()).toEqual(["close", "whole"]);
    await closing;
  });

  it.each(["websocket", "polling"])("ends Socket.IO over %s", async (transport) => {
    const web = createServer();
    const sockets = new SocketIoServer(web);
    sockets.on("connection", (socket) => socket.on("say", (words, answer) => answer(words)));
    const listener = await start(web);
    const client = io(`http://${server.proxy}`, {
      transports: [transport],
      extraHeaders: fields(),
      reconnection: false,
    });
    scene.defer(() => void client.disconnect());
    expect(await client.emitWithAck("say", "hello")).toBe("hello");
    const gone = new Promise((resolve) => client.once("disconnect", resolve));
    const from = performance.now();
    await Promise.all([listener.close({ graceMs: 60_000 }), sockets.close()]);
    // After either of these, a client reconnects by itself.
    expect(["transport close", "transport error"]).toContain(await gone);
    // Well before the end of the grace period: nothing had to be cut.
    expect(performance.now() - from).toBeLessThan(30_000);
  });
});
