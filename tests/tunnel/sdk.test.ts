// The SDK as its users have it: the built package, real frameworks, and a real server.

import { createHash, randomBytes } from "node:crypto";
import { createServer, get } from "node:http";
import { dial, EndpointAgent, forward, type Listener, listen, serve } from "@piko/client";
import express from "express";
import fastify from "fastify";
import Koa from "koa";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type RunningServer, startServer } from "../harness/piko.js";
import { startEchoService } from "../harness/raw-service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const listeners: Listener[] = [];

afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.close({ graceMs: 0 })));
});

const url = (server: RunningServer): { url: string } => ({ url: `http://${server.upstream}` });

async function keep(listener: Promise<Listener>): Promise<Listener> {
  const open = await listener;
  listeners.push(open);
  return open;
}

function ask(server: RunningServer, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://${server.proxy}${path}`, {
    ...init,
    headers: { ...init.headers, "x-piko-endpoint": "sdk", connection: "close" },
  });
}

describe("a listener carries", () => {
  it("Express", async () => {
    const server = await startServer(scene);
    const app = express();
    app.use(express.json());
    app.post("/items/:id", (request, response) => void response.json({ ...request.params, ...request.body }));
    await keep(serve("sdk", app, url(server)));
    const headers = { "content-type": "application/json" };
    const response = await ask(server, "/items/7", { method: "POST", headers, body: '{"name":"x"}' });
    expect(await response.json()).toEqual({ id: "7", name: "x" });
  });

  it("Fastify", async () => {
    const server = await startServer(scene);
    const app = fastify();
    app.get("/hello", () => ({ hello: "fastify" }));
    await app.ready();
    const listener = await keep(listen("sdk", url(server)));
    listener.attach(app.server);
    expect(await (await ask(server, "/hello")).json()).toEqual({ hello: "fastify" });
    await app.close();
  });

  it("Koa", async () => {
    const server = await startServer(scene);
    const app = new Koa();
    app.use((context) => {
      context.body = { path: context.path };
    });
    const listener = await keep(listen("sdk", url(server)));
    listener.attach(createServer(app.callback()));
    expect(await (await ask(server, "/koa")).json()).toEqual({ path: "/koa" });
  });

  it("a fetch handler, with bodies of 5 MB both ways", async () => {
    const server = await startServer(scene);
    await keep(serve("sdk", { fetch: (request: Request) => new Response(request.body) }, url(server)));
    const body = randomBytes(5_000_000);
    const response = await ask(server, "/echo", { method: "POST", body });
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  });

  it("a ws server", async () => {
    const server = await startServer(scene);
    const web = createServer();
    const sockets = new WebSocketServer({ server: web });
    sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    const listener = await keep(listen("sdk", url(server)));
    listener.attach(web);
    const client = new WebSocket(`ws://${server.proxy}/`, { headers: { "x-piko-endpoint": "sdk" } });
    await new Promise((resolve, reject) => client.once("open", resolve).once("error", reject));
    const sent = randomBytes(1_000_000);
    const echoed = new Promise<Buffer>((resolve) =>
      client.once("message", (data) => resolve(data as Buffer)),
    );
    client.send(sent);
    expect((await echoed).equals(sent)).toBe(true);
    client.terminate();
    sockets.close();
  });
});

describe("the other side", () => {
  it("dials an endpoint and gets 10 MB back intact", async () => {
    const server = await startServer(scene);
    const service = await startEchoService(scene);
    await keep(forward("tcp", service.addr, url(server)));
    const socket = await dial("tcp", { url: `http://${server.proxy}` });
    const sent = randomBytes(10_000_000);
    const hash = createHash("sha256");
    let received = 0;
    const done = new Promise<void>((resolve, reject) => {
      socket.on("error", reject).on("data", (data: Buffer) => {
        hash.update(data);
        received += data.length;
        if (received === sent.length) resolve();
      });
    });
    socket.write(sent);
    await done;
    expect(hash.digest("hex")).toBe(createHash("sha256").update(sent).digest("hex"));
    socket.destroy();
  });

  it("reaches an endpoint with any client that accepts an http.Agent", async () => {
    const server = await startServer(scene);
    await keep(serve("sdk", (request, response) => response.end(`you asked ${request.url}`), url(server)));
    const agent = new EndpointAgent("sdk", { url: `http://${server.proxy}` });
    const text = await new Promise<string>((resolve, reject) => {
      get("http://any-name/there", { agent }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (data: string) => (body += data)).on("end", () => resolve(body));
      }).on("error", reject);
    });
    expect(text).toBe("you asked /there");
    agent.destroy();
  });
});
