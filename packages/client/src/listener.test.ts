import { EventEmitter, once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { afterEach, describe, expect, it } from "vitest";
import { defer, piko, tearDown } from "../test/per-test.js";
import { collect } from "../test/streams.js";
import { jsonError } from "../test/test-server.js";
import { exchange } from "../test/upstream-stage.js";
import { dial } from "./dial.js";
import type { EndpointSocket } from "./endpoint-socket.js";
import { listen } from "./listen.js";
import { MAX_WAITING_CONNECTIONS } from "./listener.js";

afterEach(tearDown);

function echo(socket: EndpointSocket): void {
  socket.pipe(socket);
}

async function say(url: string, words: string): Promise<string> {
  const socket = await dial("e", { url, allowHalfOpen: true });
  socket.end(words);
  return String(await collect(socket));
}

describe("listen", () => {
  it("emits connections as events", async () => {
    const { url } = await piko();
    const listener = await listen("e", { url, allowHalfOpen: true });
    defer(() => listener.close());
    listener.on("connection", echo);
    expect(await Promise.all([say(url, "a"), say(url, "b")])).toEqual(["a", "b"]);
    expect(listener.connected).toBe(true);
    expect(listener.nodeId).toBe("node-1");
    expect(listener.url).toBeUndefined();
  });

  it("knows where clients reach the endpoint, if the server announces it", async () => {
    const server = await piko();
    server.extra += "x-piko-url: https://e.piko.example.com\r\n";
    const listener = await listen("e", { url: server.url });
    expect(listener.url).toBe("https://e.piko.example.com");
    await listener.close();
    expect(listener.url).toBeUndefined();
  });

  it("refuses to attach anything that accepts no connections, or only encrypted ones", async () => {
    const { url } = await piko();
    const listener = await listen("e", { url });
    defer(() => listener.close());
    // Koa's application has events, but doesn't accept connections.
    for (const server of [undefined, {}, new EventEmitter(), createHttpsServer()]) {
      expect(() => listener.attach(server as Server)).toThrow(
        expect.objectContaining({
          code: "PIKO_CLIENT_BAD_OPTION",
          message: expect.stringMatching(/^(?:server: connections come without TLS|handler: not a function)/),
        }),
      );
    }
  });

  it("attaches handlers, and anything that accepts connections", async () => {
    const { url } = await piko();
    const express = Object.assign(
      (_request: unknown, response: ServerResponse) => response.end("as Express"),
      {
        // An Express app has events, too.
        emit: () => false,
      },
    );
    const own = new EventEmitter().on("connection", (socket: EndpointSocket) => socket.end("own"));
    for (const [attached, answer] of [
      [express, /\r\n\r\nas Express$/],
      [{ fetch: () => new Response("by fetch") }, /by fetch/],
      [own, /^own$/],
    ] as const) {
      const listener = await listen("e", { url });
      listener.attach(attached as Server);
      const socket = await dial("e", { url });
      socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      expect(String(await collect(socket))).toMatch(answer);
      await listener.close();
    }
  });

  it("keeps connections that arrive before the program asks for them", async () => {
    const { url } = await piko();
    const listener = await listen("e", { url, allowHalfOpen: true });
    defer(() => listener.close());
    const early = await dial("e", { url, allowHalfOpen: true });
    early.end("early");
    listener.on("connection", echo);
    expect(String(await collect(early))).toBe("early");
  });

  it("provides connections by iteration, which ends with the listener", async () => {
    const { url } = await piko();
    const listener = await listen("e", { url, allowHalfOpen: true });
    const served = (async () => {
      let count = 0;
      for await (const socket of listener) {
        echo(socket);
        count++;
      }
      return count;
    })();
    expect(await say(url, "one")).toBe("one");
    expect(await say(url, "two")).toBe("two");
    await listener.close();
    expect(await served).toBe(2);
    await expect(listener.accept()).rejects.toMatchObject({ code: "PIKO_CLIENT_CLOSED" });
  });

  it("refuses connections beyond the maximum that may wait", async () => {
    const server = await piko();
    const listener = await listen("e", { url: server.url });
    defer(() => listener.close({ graceMs: 0 }));
    const tunnel = server.tunnel("e");
    let refused = 0;
    const outcome = new Promise<void>((resolve) => {
      const onReset = (): void => {
        refused++;
        resolve();
      };
      for (let i = 0; i <= MAX_WAITING_CONNECTIONS; i++) {
        tunnel?.open({ onData() {}, onEnd() {}, onWritable() {}, onReset });
      }
    });
    await outcome;
    expect(refused).toBe(1);
  });

  it("passes connections to an http server", async () => {
    const { url } = await piko();
    const listener = await listen("e", { url });
    defer(() => listener.close());
    listener.attach(createServer((request, response) => response.end(`you asked for ${request.url}`)));
    const answer = await say(url, "GET /x HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*you asked for \/x$/);
  });

  it("reports the loss of the tunnel, and the next one", async () => {
    const server = await piko();
    const listener = await listen("e", { url: server.url, tunnels: 1 });
    defer(() => listener.close());
    const events: string[] = [];
    listener.on("disconnected", (error) => events.push(`disconnected ${(error as { code?: string })?.code}`));
    listener.on("reconnecting", ({ attempt }) => events.push(`reconnecting ${attempt}`));
    server.tunnel("e")?.session.evict();
    const [tunnel] = (await once(listener, "connected")) as unknown[];
    expect(tunnel).toEqual({ nodeId: "node-1", replaced: false });
    expect(events).toEqual(["disconnected PIKO_YAMUX_GO_AWAY", "reconnecting 1"]);
    listener.on("connection", echo);
    expect(await say(server.url, "again")).toBe("again");
  });

  it("has a tunnel to each of two nodes, and reports its tunnels", async () => {
    const server = await piko();
    const listener = await listen("e", { url: server.url });
    defer(() => listener.close());
    expect(listener.tunnels).toEqual({ open: 1, wanted: 2, nodeIds: ["node-1"] });
    server.becomeNode("node-2");
    const [both] = (await once(listener, "tunnels")) as unknown[];
    expect(both).toEqual({ open: 2, wanted: 2, nodeIds: ["node-1", "node-2"] });
    server.tunnels[0]?.socket.reset();
    const [one] = (await once(listener, "tunnels")) as unknown[];
    expect(one).toEqual({ open: 1, wanted: 2, nodeIds: ["node-2"] });
    expect(listener.connected).toBe(true);
    await expect(listen("e", { url: server.url, tunnels: 9 })).rejects.toMatchObject({
      code: "PIKO_CLIENT_BAD_OPTION",
    });
  });

  it("rejects when the server refuses permanently", async () => {
    const server = await piko();
    server.answers.push(jsonError(401, "invalid token"));
    await expect(listen("e", { url: server.url, token: "x" })).rejects.toMatchObject({ status: 401 });
  });

  it("closes gracefully: accepts no new connections, and lets those in progress end", async () => {
    const { url } = await piko();
    const listener = await listen("e", { url, allowHalfOpen: true });
    const client = await dial("e", { url, allowHalfOpen: true });
    const socket = await listener.accept();
    const closed = listener.close();
    socket.end("bye");
    client.end();
    socket.resume();
    expect(String(await collect(client))).toBe("bye");
    await closed;
    await expect(dial("e", { url })).rejects.toMatchObject({ status: 502 });
  });

  it("passes a Go node's connections to its servers while it closes, and refuses those of our nodes", async () => {
    for (const extra of ["", undefined]) {
      const server = await piko();
      if (extra !== undefined) server.extra = extra;
      const listener = await listen("e", { url: server.url });
      listener.on("connection", echo);
      const tunnel = await server.until(() => server.tunnel("e"));
      const first = exchange(tunnel, "first");
      expect(await first.answer).toBe("first");
      const closed = listener.close({ graceMs: 60_000 });
      const late = exchange(tunnel, "late");
      expect(await late.answer).toBe(extra === undefined ? "reset" : "late");
      expect(tunnel.receivedGoAway).toBe(extra === undefined);
      first.stream.end();
      late.stream.end();
      await closed;
    }
  });

  it("closes on a signal and by asyncDispose, and emits close once", async () => {
    const { url } = await piko();
    const stop = new AbortController();
    const listener = await listen("e", { url, signal: stop.signal });
    let closes = 0;
    listener.on("close", () => closes++);
    stop.abort();
    await once(listener, "close");
    await listener[Symbol.asyncDispose]();
    expect(closes).toBe(1);
    await expect(listen("e", { url, signal: stop.signal })).rejects.toMatchObject({ name: "AbortError" });
  });
});
