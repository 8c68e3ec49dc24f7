// What programs pass to the SDK's `serve`: frameworks, servers and web-standard handlers, each with requests, upgrades and a
// clean shutdown.

import { createAdaptorServer } from "@hono/node-server";
import { type Listener, type ServeOptions, dial, listen, serve } from "@piko/client";
import { initTRPC } from "@trpc/server";
import { createHTTPHandler } from "@trpc/server/adapters/standalone";
import express from "express";
import fastify from "fastify";
import { H3, toNodeHandler } from "h3";
import { Hono } from "hono";
import Koa from "koa";
import { Response as NodeFetchResponse } from "node-fetch";
import { randomBytes } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import type { ReadableStream } from "node:stream/web";
import { Response as UndiciResponse } from "undici";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type RunningServer, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { SlowAnswer } from "../harness/slow-answer.js";
import { perFile, perTest } from "../harness/stage.js";

type Handler = Parameters<typeof serve>[1];

/**
 * A program that echoes bodies. For `/slow` it waits until the test lets it answer; `/events` begins at once, and ends when
 * the test lets it.
 */
interface App {
  readonly handler: Handler;
  /** A server with the same program, for upgrades. */
  readonly server?: Server;
}

const stage = perFile();
const scene = perTest();
const realGlobals = { Request: globalThis.Request, Response: globalThis.Response };
let server: RunningServer;
/** Each test has its own endpoint, because the server may not have noticed yet that the last test's tunnel ended. */
let endpoint = "";
let endpoints = 0;
let slow: SlowAnswer;

beforeAll(async () => {
  server = await startServer(stage, { "proxy.reconnect-wait": "0s" });
});

beforeEach(() => {
  endpoint = `sdk-${endpoints++}`;
  slow = new SlowAnswer();
});

afterEach(() => {
  Object.assign(globalThis, realGlobals);
});

/** An event stream with two events. */
async function* events(): AsyncGenerator<string, void, void> {
  yield "data: first\n\n";
  await slow.held;
  yield "data: last\n\n";
}

const EVENT_STREAM = { "content-type": "text/event-stream" };

function sendEvents(response: ServerResponse): void {
  response.writeHead(200, EVENT_STREAM);
  Readable.from(events()).pipe(response);
}

function eventStream(): ReadableStream<Uint8Array> {
  return Readable.toWeb(
    Readable.from(events()).map((event: string) => Buffer.from(event)),
  ) as ReadableStream<Uint8Array>;
}

async function listenTo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === "/slow") response.end(await slow.text());
  else if (request.url === "/events") sendEvents(response);
  else request.pipe(response);
}

async function fetchFrom(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/slow") return new Response(await slow.text());
  if (pathname === "/events") return new Response(eventStream(), { headers: EVENT_STREAM });
  if (request.headers.get("upgrade") !== null) return new Response("no upgrades here", { status: 426 });
  return new Response(request.body);
}

function expressApp(): express.Express {
  const app = express();
  app.get("/slow", async (_request, response) => void response.end(await slow.text()));
  app.get("/events", (_request, response) => sendEvents(response));
  app.post("/echo", (request, response) => void request.pipe(response));
  return app;
}

async function fastifyServer(): Promise<Server> {
  const app = fastify();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
  app.get("/slow", () => slow.text());
  app.get("/events", (_request, reply) => reply.headers(EVENT_STREAM).send(Readable.from(events())));
  app.post("/echo", async (request, reply) => reply.send(await buffer(request.body as IncomingMessage)));
  await app.ready();
  return app.server;
}

function koaApp(): Koa {
  const app = new Koa();
  app.use(async (context) => {
    if (context.path === "/events") context.set(EVENT_STREAM);
    context.body =
      context.path === "/slow"
        ? await slow.text()
        : context.path === "/events"
          ? Readable.from(events(), { objectMode: false })
          : context.req;
  });
  return app;
}

function honoApp(): Hono {
  const app = new Hono();
  app.get("/slow", async (context) => context.text(await slow.text()));
  app.get("/events", () => new Response(eventStream(), { headers: EVENT_STREAM }));
  app.post("/echo", (context) => new Response(context.req.raw.body));
  return app;
}

function h3App(): H3 {
  return new H3()
    .get("/slow", () => slow.text())
    .get("/events", () => new Response(eventStream(), { headers: EVENT_STREAM }))
    .post("/echo", (event) => new Response(event.req.body));
}

/** A tRPC server, with other paths next to it. */
function trpcListener(): RequestListener {
  const { procedure, router } = initTRPC.create();
  const calls = router({
    slow: procedure.query(() => slow.text()),
    add: procedure.input(Number).mutation(({ input }) => input + 1),
  });
  const answerCall = createHTTPHandler({ router: calls, basePath: "/trpc/" });
  return (request, response) => {
    if (request.url?.startsWith("/trpc/") === true) answerCall(request, response);
    else void listenTo(request, response);
  };
}

const apps: [name: string, make: () => App | Promise<App>][] = [
  [
    "a request listener",
    () => ({ handler: listenTo, server: createServer((...args) => void listenTo(...args)) }),
  ],
  ["Express", () => ({ handler: expressApp(), server: createServer(expressApp()) })],
  ["Fastify", async () => ({ handler: await fastifyServer(), server: await fastifyServer() })],
  ["Koa", () => ({ handler: koaApp().callback(), server: createServer(koaApp().callback()) })],
  ["h3", () => ({ handler: h3App() as Handler })],
  [
    "h3 with toNodeHandler",
    () => ({
      handler: toNodeHandler(h3App()) as Handler,
      server: createServer(toNodeHandler(h3App()) as RequestListener),
    }),
  ],
  ["tRPC", () => ({ handler: trpcListener(), server: createServer(trpcListener()) })],
  [
    "Hono with @hono/node-server",
    () => {
      const adapted = (): Server => createAdaptorServer({ fetch: honoApp().fetch }) as Server;
      return { handler: adapted(), server: adapted() };
    },
  ],
  ["Hono", () => ({ handler: honoApp() })],
  ["the fetch of Hono", () => ({ handler: honoApp().fetch as Handler })],
  ["an object with fetch", () => ({ handler: { fetch: fetchFrom } })],
  ["a fetch function", () => ({ handler: fetchFrom })],
];

async function start(handler: Handler, options: ServeOptions = {}): Promise<Listener> {
  const listener = await serve(endpoint, handler, { url: `http://${server.upstream}`, ...options });
  scene.defer(() => listener.close({ graceMs: 0 }));
  return listener;
}

function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { ...init.headers, "x-piko-endpoint": endpoint, connection: "close" };
  return fetch(`http://${server.proxy}${path}`, { ...init, headers });
}

/** The status of a refused upgrade, or the echoed message. */
async function upgrade(message: Buffer): Promise<Buffer | number | undefined> {
  const client = new WebSocket(`ws://${server.proxy}/socket`, { headers: { "x-piko-endpoint": endpoint } });
  scene.defer(() => client.terminate());
  return await new Promise((resolve, reject) => {
    client.on("open", () => client.send(message));
    client.on("message", (data) => resolve(data as Buffer));
    client.on("unexpected-response", (_request, response) => resolve(response.statusCode));
    client.on("error", reject);
  });
}

describe.each(apps)("serve accepts %s", (_name, make) => {
  it("for requests", async () => {
    const { handler } = await make();
    await start(handler);
    const body = randomBytes(300_000);
    const response = await ask("/echo", { method: "POST", body, headers: { "content-type": "x/y" } });
    expect(response.status).toBe(200);
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  });

  it("as a listener's attach() does", async () => {
    const { handler } = await make();
    const listener = await listen(endpoint, { url: `http://${server.upstream}` });
    scene.defer(() => listener.close({ graceMs: 0 }));
    listener.attach(handler);
    slow.proceed();
    expect(await (await ask("/slow")).text()).toBe("whole");
  });

  it("for streams, each piece as it is sent", async () => {
    const { handler } = await make();
    await start(handler);
    const response = await ask("/events");
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const reader = (response.body as ReadableStream<Uint8Array>)
      .pipeThrough(new TextDecoderStream())
      .getReader();
    expect((await reader.read()).value).toBe("data: first\n\n");
    slow.proceed();
    expect((await reader.read()).value).toBe("data: last\n\n");
    expect((await reader.read()).done).toBe(true);
  });

  it("for upgrades, if it has a server", async () => {
    const { handler, server: web } = await make();
    if (web === undefined) {
      await start(handler);
      // The request handler gets the request like any other.
      expect(await upgrade(Buffer.from("x"))).toBeGreaterThanOrEqual(400);
      return;
    }
    const sockets = new WebSocketServer({ server: web });
    scene.defer(() => sockets.close());
    sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    await start(web);
    const sent = randomBytes(100_000);
    expect(sent.equals((await upgrade(sent)) as Buffer)).toBe(true);
  });

  it("until it is closed: requests in progress finish, and no new ones begin", async () => {
    const { handler } = await make();
    const listener = await start(handler);
    const underWay = ask("/slow");
    await slow.asked;
    const closed = listener.close();
    expect((await ask("/echo", { method: "POST", body: "x" })).status).toBe(502);
    slow.proceed();
    expect(await (await underWay).text()).toBe("whole");
    await closed;
  });
});

describe("a fetch handler", () => {
  it.each([
    ["undici", () => new UndiciResponse("hello", { headers: { "x-a": "b" } })],
    ["node-fetch", () => new NodeFetchResponse("hello", { headers: { "x-a": "b" } })],
  ])("may return the Response of the package %s", async (_name, make) => {
    await start({ fetch: make as unknown as () => Response });
    const response = await ask("/");
    expect([response.status, response.headers.get("x-a"), await response.text()]).toEqual([
      200,
      "b",
      "hello",
    ]);
  });

  it.each([
    ["the Response with which @hono/node-server replaces Node's", () => new Response("hello")],
    ["a Response from a static method of Node's own", () => Response.json("hello")],
  ])("may return %s", async (_name, make) => {
    createAdaptorServer({ fetch: honoApp().fetch });
    expect(globalThis.Response).not.toBe(realGlobals.Response);
    await start({ fetch: make });
    expect(await (await ask("/")).text()).toContain("hello");
  });

  it.each([
    [
      "(request, env, context) => Response",
      (_request: unknown, _env: unknown, _context: unknown) => new Response("hello"),
    ],
    ["() => Response", () => new Response("hello")],
  ])("may be %s", async (_form, handler) => {
    await start(handler as unknown as Handler);
    expect(await (await ask("/")).text()).toBe("hello");
  });

  it("sees the path of the request, whatever its Host says", async () => {
    await start({ fetch: (request: Request) => new Response(new URL(request.url).pathname) });
    for (const host of ["", " ", " h", " h:80"]) {
      const client = await RawClient.connect(scene, server.proxy);
      client.send(`GET /public/admin HTTP/1.1\r\nHost:${host}\r\nx-piko-endpoint: ${endpoint}\r\n\r\n`);
      expect((await client.response()).body.toString()).toBe("/public/admin");
    }
    // No server has checked a request on a dialed connection.
    const answers: string[] = [];
    for (const head of [
      "HTTP/1.0\r\n",
      "HTTP/1.1\r\nHost:\r\nConnection: close\r\n",
      "HTTP/1.1\r\nHost: h/evil\r\nConnection: close\r\n",
      "HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n",
    ]) {
      const socket = await dial(endpoint, { url: `http://${server.proxy}` });
      socket.write(`GET /public/admin ${head}\r\n`);
      const answer = await text(socket);
      answers.push(`${answer.slice(9, 12)} ${answer.includes("/public/admin")}`);
    }
    expect(answers).toEqual(["200 true", "200 true", "400 false", "400 false"]);
  });

  it.each([3, 7])("that declares %d as the length of five bytes gets its response cut", async (length) => {
    const errors: unknown[] = [];
    const headers = { "content-length": String(length) };
    await start(
      { fetch: () => new Response("hello", { headers }) },
      { onError: (error) => errors.push(error) },
    );
    await expect(ask("/").then((response) => response.text())).rejects.toThrow(
      /terminated|fetch failed|aborted/,
    );
    expect(String(errors)).toMatch(
      /^TypeError: response body is (longer|shorter) than its content-length of \d$/,
    );
  });
});

describe("a request listener", () => {
  it("that throws costs its client a 500, and the program nothing", async () => {
    const errors: unknown[] = [];
    const onError = (error: unknown): void => void errors.push(error);
    const listener = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      if (request.url === "/late") response.write("some");
      throw new Error(`broken ${request.url}`);
    };
    await start(listener, { onError });
    expect((await ask("/early")).status).toBe(500);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(`GET /late HTTP/1.1\r\nHost: ${endpoint}.test\r\n\r\n`);
    // The last chunk is missing.
    expect((await client.rest()).toString("latin1").split("\r\n\r\n")[1]).toBe("4\r\nsome\r\n");
    expect(errors.map(String)).toEqual(["Error: broken /early", "Error: broken /late"]);
  });
});

describe("serve", () => {
  const big = (bytes: number): RequestInit => ({ headers: { "x-big": "x".repeat(bytes) } });

  it("accepts heads as large as its server does, or up to its own limit", async () => {
    const answer = (request: IncomingMessage, response: ServerResponse): void =>
      void response.end(String(request.headers["x-big"]?.length));
    const listener = await start(answer);
    expect(await (await ask("/", big(1_000_000))).text()).toBe("1000000");
    await listener.close({ graceMs: 0 });
    await start(answer, { maxHeaderBytes: 4_096 });
    expect(await (await ask("/", big(2_000))).text()).toBe("2000");
    expect((await ask("/", big(8_000))).status).toBe(431);
  });
});
