// Requests to another node: what is sent, and how connections are used and kept.

import { once } from "node:events";
import type { Socket } from "node:net";
import { isResetAtEnd } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { REASONS } from "../../../http/reasons.js";
import { cleanUpHops, setUpHop } from "../../../../test/hop-rig.js";
import { eventually } from "../../../../test/port-peer.js";

const GET = "GET /x HTTP/1.1\r\nHost: web\r\n\r\n";
const HOP_GET = "GET /x HTTP/1.1\r\nHost: web\r\nx-piko-forward: true\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

afterEach(cleanUpHops);

describe("the head of a request", () => {
  it("is marked once as forwarded, and keeps the connection open", async () => {
    const { peer, request } = await setUpHop();
    await request(GET);
    expect(peer.received).toEqual([HOP_GET]);
  });

  it("has the node's secret if there is one, and never the client's value", async () => {
    const { node, peer, request } = await setUpHop();
    node.hopSecret = Buffer.from("c2VjcmV0LXNlY3JldC1zZW");
    await request(GET.replace("\r\n\r\n", "\r\nx-piko-hop: guess\r\n\r\n"));
    expect(peer.received).toEqual([
      HOP_GET.replace("\r\n\r\n", "\r\nx-piko-hop: c2VjcmV0LXNlY3JldC1zZW\r\n\r\n"),
    ]);
  });

  it("keeps an upgrade's fields; after the 101, bytes pass both ways", async () => {
    const fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const { peer, send } = await setUpHop((socket, text) => {
      socket.write(text.includes("GET") ? `HTTP/1.1 101 Switching Protocols\r\n${fields}hello` : text);
    });
    const recorder = send(`GET / HTTP/1.1\r\nHost: web\r\n${fields}`);
    await recorder.until(() => recorder.text.endsWith("hello"));
    expect(peer.received[0]).toBe(`GET / HTTP/1.1\r\nHost: web\r\nx-piko-forward: true\r\n${fields}`);
    recorder.call.write(Buffer.from("echo"), 0, 4);
    await recorder.until(() => recorder.text.endsWith("helloecho"));
    recorder.call.end(undefined);
    peer.connections[0]?.end();
    await recorder.until(() => recorder.whole);
  });

  it("may get a 101 with half-close or without; a cut is passed on as a reset", async () => {
    for (const capability of ["", "x-piko-capabilities: half-close\r\n"]) {
      const fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
      const { peer, send } = await setUpHop((socket, text) => {
        if (!text.startsWith("GET")) return;
        socket.pause();
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}${capability}\r\n`);
        socket.end();
      });
      const recorder = send(`GET / HTTP/1.1\r\nHost: web\r\n${fields}\r\n`);
      await recorder.until(() => recorder.whole);
      const { call } = recorder;
      expect(call.halfClose).toBe(capability !== "");
      const bytes = Buffer.alloc(16 * 1024 * 1024);
      call.write(bytes, 0, bytes.length);
      // Queued bytes for a node that has closed both directions are dropped, so they block nothing.
      expect(call.congested).toBe(capability !== "");
      const socket = peer.connections[0] as Socket;
      const reset = new Promise<boolean>((resolve) => {
        socket.on("error", () => resolve(true));
        socket.on("end", () => resolve(isResetAtEnd(socket)));
      });
      call.abort(REASONS.client_gone);
      socket.resume();
      expect(await reset).toBe(true);
    }
  });

  it("keeps the token, which the other node verifies again", async () => {
    const { peer, request } = await setUpHop();
    await request(GET.replace("\r\n\r\n", "\r\nx-piko-authorization: Bearer t\r\n\r\n"));
    expect(peer.received[0]).toContain("x-piko-authorization: Bearer t\r\n");
  });
});

describe("a body", () => {
  it("arrives whole, split anywhere", async () => {
    const head = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\n";
    const body = "\r\n\r\nbody\n";
    const { peer, send } = await setUpHop(
      (socket, text) => void (text.endsWith("body\n") && socket.write(OK)),
    );
    for (let at = 1; at < body.length; at++) {
      const recorder = send(head, [body.slice(0, at), body.slice(at)]);
      await recorder.until(() => recorder.whole);
      recorder.call.release();
    }
    expect(peer.received.every((text) => text.endsWith(`\r\n\r\n${body}`))).toBe(true);
    expect(peer.connections).toHaveLength(body.length - 1);
  });

  it("is sent in chunks if its length is unknown", async () => {
    const { peer, send } = await setUpHop(
      (socket, text) => void (text.endsWith("\r\n\r\n") && socket.write(OK)),
    );
    const recorder = send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n", [
      "one",
      "two",
    ]);
    await recorder.until(() => recorder.whole);
    expect(peer.received[0]?.endsWith("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")).toBe(true);
  });

  it("stops while the node doesn't read, then continues", async () => {
    const { peer, send } = await setUpHop((socket) => void socket.pause());
    const recorder = send("PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n", [], true);
    await eventually(() => peer.received[0] !== "" && peer.received.length > 0);
    const piece = Buffer.alloc(64 * 1024, "x");
    // The kernel buffers some megabytes; a lasting stop is due to the peer.
    for (let stopped = 0; stopped < 50; ) {
      if (recorder.call.congested) stopped++;
      else {
        recorder.call.write(piece, 0, piece.length);
        stopped = 0;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Bytes that are written nevertheless are queued.
    recorder.call.write(piece, 0, piece.length);
    const before = recorder.events.length;
    peer.connections[0]?.removeAllListeners("data").resume();
    await recorder.until(() => recorder.events.length > before);
    expect(recorder.events.at(-1)).toBe("writable");
    expect(recorder.call.congested).toBe(false);
  });
});

describe("a response", () => {
  it("waits in the kernel while it isn't consumed", async () => {
    const total = 4 * 1024 * 1024;
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`;
    const { send } = await setUpHop((socket) => void socket.write(head + "x".repeat(total)));
    const slow = send(GET);
    slow.consumes = false;
    await slow.until(() => slow.text.length > 256 * 1024);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(slow.text.length).toBeLessThan(512 * 1024);
    slow.consumes = true;
    slow.call.consume(slow.text.length - head.length);
    await slow.until(() => slow.whole);
    expect(slow.text.length).toBe(head.length + total);
  });
});

describe("a connection", () => {
  it("carries one request after another; the last used one is reused first", async () => {
    const { peer, pool, request, send } = await setUpHop();
    for (let i = 0; i < 5; i++) await request(GET);
    expect(peer.received).toEqual([HOP_GET.repeat(5)]);
    const both = [send(GET), send(GET)];
    for (const each of both) {
      await each.until(() => each.whole);
      each.call.release();
    }
    expect(peer.connections).toHaveLength(2);
    expect(pool.idleCount).toBe(2);
  });

  it.each(["POST", "PATCH", "PUT"])("is a new one for %s, and kept for others", async (method) => {
    const { peer, request } = await setUpHop();
    await request(GET);
    await request(GET.replace("GET", method));
    expect(peer.connections).toHaveLength(2);
    await request(GET);
    expect(peer.connections).toHaveLength(2);
  });

  it("isn't kept if its response has Connection: close, or is aborted", async () => {
    const closing = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    const { peer, pool, request, send } = await setUpHop((socket) => {
      socket.write(peer.connections.length === 1 ? closing : OK);
    });
    await request(GET);
    const cut = send(GET);
    await cut.until(() => cut.whole);
    cut.call.abort(REASONS.client_gone);
    expect(pool.idleCount).toBe(0);
    await request(GET);
    expect(peer.connections).toHaveLength(3);
  });

  it("isn't kept for longer than a minute", async () => {
    const { clock, peer, request } = await setUpHop();
    await request(GET);
    clock.advance(59_000);
    await request(GET);
    clock.advance(61_000);
    await request(GET);
    expect(peer.connections).toHaveLength(2);
  });

  it("is dropped if anything is received between requests", async () => {
    const { peer, pool, request } = await setUpHop();
    await request(GET);
    peer.connections[0]?.write("HTTP/1.1 408 Request Timeout\r\n\r\n");
    await once(peer.connections[0] as Socket, "close");
    expect(pool.idleCount).toBe(0);
    expect(await request(GET)).toBe(OK);
  });

  it("is dropped if bytes arrive before its next request was sent, since they can't be its response", async () => {
    const { peer, pool, request, send } = await setUpHop();
    await request(GET);
    const next = send(GET);
    const unasked = Buffer.from("HTTP/1.1 408 Request Timeout\r\n\r\n", "latin1");
    next.call.onBytes(unasked, 0, unasked.length);
    await next.until(() => next.events.length > 0);
    expect([next.text, next.events]).toEqual(["", ["stale"]]);
    expect(pool.idleCount).toBe(0);
    expect(peer.received).toEqual([HOP_GET]);
    expect(await request(GET)).toBe(OK);
  });

  it("is dropped when the node closes it", async () => {
    const { peer, pool, request } = await setUpHop();
    await request(GET);
    peer.connections[0]?.end();
    await once(peer.connections[0] as Socket, "close");
    expect(pool.idleCount).toBe(0);
    expect(await request(GET)).toBe(OK);
  });

  it("and a call that has released it no longer affect each other", async () => {
    const { request, send } = await setUpHop();
    const first = send(GET);
    await first.until(() => first.whole);
    first.call.release();
    await request(GET);
    first.call.consume(OK.length);
    first.call.end(undefined);
    first.call.abort(REASONS.client_gone);
    expect(await request(GET)).toBe(OK);
    expect([first.text, first.events]).toEqual([OK, []]);
  });

  it("is closed after the pool once its request has ended", async () => {
    const { pool, peer, send } = await setUpHop();
    const last = send(GET);
    await last.until(() => last.whole);
    pool.close();
    last.call.release();
    await once(peer.connections[0] as Socket, "close");
    expect(pool.idleCount).toBe(0);
  });
});

it("interim responses are separate from the final one, and subject to flow control", async () => {
  const hints = `HTTP/1.1 103 Early Hints\r\nLink: ${"x".repeat(8_000)}\r\n\r\n`;
  const count = 40;
  const { send } = await setUpHop((socket) => void socket.write(hints.repeat(count) + OK));
  const recorder = send(GET);
  await eventually(() => recorder.text.length >= 33 * hints.length);
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  recorder.call.consume(recorder.text.length);
  await recorder.until(() => recorder.whole);
  expect(recorder.text).toBe(hints.repeat(count) + OK);
});

it("a drain isn't reported if nothing was blocked", async () => {
  const { peer, send } = await setUpHop(() => {});
  const recorder = send(GET);
  await eventually(() => peer.received[0] === HOP_GET);
  recorder.call.onDrain();
  expect(recorder.events).toEqual([]);
});
