// `fetch` with requests that go to an endpoint: Node's own and undici's, each with the SDK's dispatcher.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { type ClientRequest, createServer, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { EndpointDispatcher, type Listener, serve } from "@piko/client";
import {
  fetch as undiciFetch,
  FormData as UndiciFormData,
  request as undiciRequest,
  WebSocket as UndiciWebSocket,
  type Dispatcher,
} from "undici";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { type RunningServer, startServer } from "../harness/piko.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
let server: RunningServer;
let dispatcher: EndpointDispatcher;
let endpoint = "";
let endpoints = 0;

beforeAll(async () => {
  server = await startServer(stage, { "proxy.reconnect-wait": "0s" });
});

beforeEach(() => {
  endpoint = `fetch-${endpoints++}`;
  dispatcher = new EndpointDispatcher(endpoint, { url: `http://${server.proxy}` });
  scene.defer(() => dispatcher.destroy());
});

async function start(handler: Parameters<typeof serve>[1]): Promise<Listener> {
  const listener = await serve(endpoint, handler, { url: `http://${server.upstream}` });
  scene.defer(() => listener.close({ graceMs: 0 }));
  return listener;
}

/** Describes the request that arrived, as JSON. */
async function describeRequest(request: IncomingMessage): Promise<object> {
  const { method, url, headers } = request;
  return { method, url, host: headers.host, type: headers["content-type"], body: await text(request) };
}

type Fetch = (url: string, init?: RequestInit) => Promise<Response>;
const fetches: [name: string, fetch: Fetch, form: () => FormData][] = [
  ["Node's fetch", (url, init) => fetch(url, { ...init, dispatcher }), () => new FormData()],
  [
    "undici's fetch",
    (url, init) => undiciFetch(url, { ...init, dispatcher } as never) as unknown as Promise<Response>,
    () => new UndiciFormData() as unknown as FormData,
  ],
];

describe.each(fetches)("%s", (_name, ask, makeForm) => {
  it("reaches an endpoint, whatever the host of its URL", async () => {
    await start(async (request, response) => {
      response.setHeader("set-cookie", ["a=1", "b=2"]);
      response.writeHead(201, "Made").end(JSON.stringify(await describeRequest(request)));
    });
    const answer = await ask("http://my-service:81/path?q=1", { method: "POST", body: "words" });
    expect([answer.status, answer.statusText, answer.headers.getSetCookie()]).toEqual([
      201,
      "Made",
      ["a=1", "b=2"],
    ]);
    expect(await answer.json()).toEqual({
      ...{ method: "POST", url: "/path?q=1", host: "my-service:81", body: "words" },
      type: "text/plain;charset=UTF-8",
    });
  });

  it("sends bodies of every kind", async () => {
    await start(
      async (request, response) => void response.end(JSON.stringify(await describeRequest(request))),
    );
    const form = makeForm();
    form.set("field", "value");
    const stream = new Blob(["some ", "words"]).stream();
    const bodies: [RequestInit["body"], RegExp][] = [
      [Buffer.from("words"), /^words$/],
      [new URLSearchParams({ a: "b" }), /^a=b$/],
      [form, /name="field"\r\n\r\nvalue/],
      [stream, /^some words$/],
    ];
    for (const [body, expected] of bodies) {
      const answer = await ask("http://x/", { method: "POST", body, duplex: "half" } as RequestInit);
      expect(((await answer.json()) as { body: string }).body).toMatch(expected);
    }
  });

  it("is as slow as its reader, and stops when aborted", async () => {
    let sent = 0;
    let gone: () => void = () => {};
    const closed = new Promise<void>((resolve) => {
      gone = resolve;
    });
    await start((_request, response) => {
      const piece = Buffer.alloc(65_536);
      const more = (): void => {
        while (response.write(piece)) sent += piece.length;
      };
      response.on("drain", more).on("close", gone);
      more();
    });
    const stop = new AbortController();
    const answer = await ask("http://x/", { signal: stop.signal });
    const reader = answer.body?.getReader();
    expect((await reader?.read())?.value?.length).toBeGreaterThan(0);
    // A reader that stops reading slows down the service: the data between them is bounded.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(32_000_000);
    stop.abort();
    await expect(reader?.read()).rejects.toMatchObject({ name: "AbortError" });
    await closed;
  });

  it("fails with the reason when no one listens, and when the response is cut", async () => {
    await expect(ask("http://x/")).rejects.toMatchObject({
      cause: { code: "PIKO_CLIENT_REFUSED", status: 502 },
    });
    await start((_request, response) => {
      response.writeHead(200, { "content-length": "10" });
      response.write("half", () => response.destroy());
    });
    const answer = await ask("http://x/");
    await expect(answer.text()).rejects.toThrow();
  });

  it("finishes requests in progress when its dispatcher is closed, and accepts no new ones", async () => {
    let proceed: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    await start(async (_request, response) => {
      response.flushHeaders();
      await held;
      response.end("whole");
    });
    const answer = await ask("http://x/");
    const closing = dispatcher.close();
    await expect(ask("http://x/")).rejects.toMatchObject({ cause: { code: "PIKO_CLIENT_CLOSED" } });
    proceed();
    expect(await answer.text()).toBe("whole");
    await closing;
  });
});

describe("requests to an endpoint", () => {
  it("are seen by tools that trace node:http, on both sides, with their trace", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const seen: string[] = [];
    const note = (message: unknown, name: string | symbol): void => {
      const { request } = message as { request: IncomingMessage | ClientRequest };
      const { method } = request;
      const trace =
        "getHeader" in request ? request.getHeader("traceparent") : request.headers["traceparent"];
      // Requests that don't belong to this test have no trace.
      if (trace !== undefined) seen.push(`${String(name)} ${method} ${String(trace)}`);
    };
    for (const name of ["http.client.request.start", "http.server.request.start"]) {
      subscribe(name, note);
      scene.defer(() => void unsubscribe(name, note));
    }
    await start((_request, response) => response.end("traced"));
    await (await fetch("http://x/", { headers: { traceparent }, dispatcher })).text();
    expect(seen).toEqual([
      `http.client.request.start GET ${traceparent}`,
      `http.server.request.start GET ${traceparent}`,
    ]);
  });
});

describe("undici", () => {
  it("accepts the dispatcher for request()", async () => {
    await start(
      async (request, response) => void response.end(JSON.stringify(await describeRequest(request))),
    );
    const answer = await undiciRequest("http://x/there", {
      ...{ method: "PUT", body: "words", headers: ["content-type", "a/b"] },
      dispatcher: dispatcher as unknown as Dispatcher,
    });
    expect(await answer.body.json()).toMatchObject({
      method: "PUT",
      url: "/there",
      type: "a/b",
      body: "words",
    });
  });

  it("opens a WebSocket through it", async () => {
    const web = createServer();
    const sockets = new WebSocketServer({ server: web });
    scene.defer(() => sockets.close());
    sockets.on("connection", (socket) =>
      socket.on("message", (data) => socket.send(String(data).toUpperCase())),
    );
    await start(web);
    const client = new UndiciWebSocket("ws://x/", { dispatcher: dispatcher as unknown as Dispatcher });
    const reply = new Promise((resolve, reject) => {
      client.addEventListener("open", () => client.send("hello"));
      client.addEventListener("message", ({ data }) => resolve(data));
      client.addEventListener("error", reject);
    });
    expect(await reply).toBe("HELLO");
    client.close();
  });
});
