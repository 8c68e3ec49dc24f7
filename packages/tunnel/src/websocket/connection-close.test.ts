// How WebSocket connections end: by a Close from either side, without one, and without an answer.

import { FakeClock } from "@piko/testkit";
import { describe, expect, it, vi } from "vitest";
import { connectLoopback } from "../../tests/loopback.js";
import { pair, raw, Recorder, text } from "../../tests/websocket-pair.js";
import { TunnelError } from "../errors.js";
import { WebSocketConnection } from "./connection.js";

describe("closing", () => {
  it.each(["client", "server"] as const)("by the %s ends both sides without an error", async (side) => {
    const { client, clientCalls, server, serverCalls } = await pair();
    const ours = side === "client" ? client : server;
    clientCalls.onEndDo = () => client.close();
    serverCalls.onEndDo = () => server.close();
    text(client, "from client");
    text(server, "from server");
    ours.close();
    text(ours, "never sent");
    await Promise.all([clientCalls.closed, serverCalls.closed]);
    expect(serverCalls.bytes.toString()).toBe("from client");
    expect(clientCalls.bytes.toString()).toBe("from server");
    expect([clientCalls.error, serverCalls.error]).toEqual([undefined, undefined]);
    expect(clientCalls.calls.filter((call) => call === "close")).toHaveLength(1);
    expect(serverCalls.calls.filter((call) => call === "close")).toHaveLength(1);
    expect(clientCalls.calls.filter((call) => call === "end").length).toBeLessThan(2);
  });

  it.each(["client", "server"] as const)("one direction by the %s leaves the other open", async (side) => {
    const { client, clientCalls, server, serverCalls } = await pair();
    const [first, second] = side === "client" ? [client, server] : [server, client];
    const [firstCalls, secondCalls] =
      side === "client" ? [clientCalls, serverCalls] : [serverCalls, clientCalls];
    text(first, "request");
    first.end();
    await secondCalls.when(() => secondCalls.calls.includes("end"));
    // Long enough for a FIN to arrive after the Close.
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    const bytes = Buffer.alloc(1 << 20, 1);
    second.write(bytes, 0, bytes.length);
    second.end();
    await Promise.all([firstCalls.closed, secondCalls.closed]);
    expect(secondCalls.bytes.toString()).toBe("request");
    expect(firstCalls.bytes.length).toBe(1 << 20);
    expect([firstCalls.error, secondCalls.error]).toEqual([undefined, undefined]);
  });

  it("with an error code reports it, with the reason", async () => {
    const { calls, connection, near, nearCalls, clock, peerSends } = await raw();
    calls.onEndDo = () => connection.close();
    peerSends("8887 00000000 03f3 6f6f707321");
    await nearCalls.when(() => nearCalls.count("end") === 1);
    expect(nearCalls.bytes.toString("hex")).toBe("880203e8");
    near.close();
    await calls.closed;
    expect(calls.error).toMatchObject({ code: "PIKO_WS_CLOSED" });
    expect(calls.error?.message).toMatch(/1011: oops!/);
    clock.assertIdle();
    await nearCalls.closed();
  });

  it("with only a FIN is a cut, except for a peer that has no other end", async () => {
    for (const eofIsEnd of [false, true]) {
      const { calls, near, nearCalls, clock, connection, peerSends } = await raw("server", eofIsEnd);
      peerSends("8281 00000000 61");
      near.close();
      await Promise.all([calls.closed, nearCalls.closed()]);
      expect(calls.bytes.toString()).toBe("a");
      expect(calls.calls).toEqual(eofIsEnd ? ["end", "close"] : ["close"]);
      expect(calls.error?.code).toBe(eofIsEnd ? undefined : "PIKO_TUNNEL_EOF");
      text(connection, "nobody reads this");
      clock.assertIdle();
    }
  });

  it("with only a FIN after a Close frame is a cut while we have more to send", async () => {
    const { calls, near, nearCalls, clock, peerSends } = await raw();
    peerSends("8880 00000000");
    await calls.when(() => calls.calls.includes("end"));
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(calls.calls).toEqual(["end", "close"]);
    expect(calls.error?.code).toBe("PIKO_TUNNEL_EOF");
    clock.assertIdle();
  });

  it("with an error code isn't a normal end, even after our own", async () => {
    for (const ended of [false, true]) {
      const { calls, connection, near, nearCalls, clock, peerSends } = await raw();
      if (ended) connection.end();
      peerSends("8281 00000000 61 8882 00000000 03f3");
      await Promise.all([calls.closed, nearCalls.when(() => nearCalls.count("end") === 1)]);
      near.close();
      await nearCalls.closed();
      expect(calls.bytes.toString()).toBe("a");
      expect(calls.calls).toEqual(["close"]);
      expect(calls.error?.code).toBe("PIKO_WS_CLOSED");
      clock.assertIdle();
    }
  });

  it("with a reset is an error after our own end, while the peer has not ended", async () => {
    const { calls, connection, near, nearCalls, clock } = await raw();
    connection.end();
    await nearCalls.when(() => nearCalls.bytes.length > 0);
    near.reset();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(calls.calls).toEqual(["close"]);
    expect(calls.error?.code).toBe("PIKO_TUNNEL_SOCKET");
    clock.assertIdle();
  });

  it("by both sides waits for what was sent, however long the peer takes to read it", async () => {
    const { calls, connection, near, nearCalls, clock, peerSends } = await raw();
    near.pause();
    const bytes = Buffer.alloc(24 * 1024 * 1024);
    connection.write(bytes, 0, bytes.length);
    connection.end();
    peerSends("8880 00000000");
    await calls.when(() => calls.calls.includes("end"));
    clock.advance(3_600_000);
    let received = 0;
    nearCalls.onBytesDo = (_buffer, start, end) => {
      received += end - start;
    };
    near.resume();
    await nearCalls.when(() => nearCalls.count("end") === 1);
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(received).toBeGreaterThan(bytes.length);
    expect(calls.error).toBeUndefined();
    clock.assertIdle();
  });

  it("by us with a reset sends what can still leave", async () => {
    const { calls, connection, near, nearCalls, clock } = await raw();
    text(connection, "partial");
    connection.reset();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(nearCalls.bytes.toString("latin1")).toBe("\x82\x07partial");
    expect(nearCalls.count("end")).toBe(0);
    expect(calls.error).toBeUndefined();
    near.destroy();
    clock.assertIdle();
  });

  it("with a reset of the connection is an error, unless we were closing", async () => {
    for (const closing of [false, true]) {
      const { calls, connection, near, nearCalls, clock } = await raw();
      if (closing) connection.close();
      if (closing) await nearCalls.when(() => nearCalls.bytes.length > 0);
      near.reset();
      await Promise.all([calls.closed, nearCalls.closed()]);
      expect(calls.error?.code).toBe(closing ? undefined : "PIKO_TUNNEL_SOCKET");
      expect(calls.calls.filter((call) => call === "close")).toHaveLength(1);
      clock.assertIdle();
    }
  });

  it("cuts off a peer that doesn't answer within 5 s", async () => {
    const { calls, connection, nearCalls, near, clock } = await raw("client");
    connection.close();
    await nearCalls.when(() => nearCalls.bytes.length > 0);
    clock.advance(4_999);
    expect(connection.socket.socket.destroyed).toBe(false);
    clock.advance(1);
    await calls.closed;
    expect(calls.error).toBeUndefined();
    clock.assertIdle();
    near.destroy();
    await nearCalls.closed();
  });

  it("lets a slow reader finish as long as it reads something", async () => {
    const { calls, connection, near, nearCalls, clock } = await raw();
    near.pause();
    const bytes = Buffer.alloc(24 * 1024 * 1024);
    connection.write(bytes, 0, bytes.length);
    connection.close();
    const socket = connection.socket.socket;
    const before = socket.writableLength;
    expect(before).toBeGreaterThan(0);
    let received = 0;
    nearCalls.onBytesDo = (_buffer, start, end) => {
      received += end - start;
      if (received > bytes.length / 2) near.pause();
    };
    near.resume();
    await nearCalls.when(() => near.paused);
    while (socket.writableLength === before) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5_000);
    expect(socket.destroyed).toBe(false);
    // The peer reads nothing more now.
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5_000);
    clock.advance(5_000);
    expect(socket.destroyed).toBe(true);
    await calls.closed;
    clock.assertIdle();
    near.destroy();
    await nearCalls.closed();
  });

  it("after a failure resets a peer that doesn't read as far as the code, although nothing is queued here", async () => {
    // Whichever of the two checks first: the socket, or the connection.
    for (const [socketClock, afterMs] of [
      [new FakeClock(), 2_000],
      [undefined, 5_000],
    ] as const) {
      const { near, nearCalls, far } = await connectLoopback(undefined, "long", socketClock);
      const [calls, clock] = [new Recorder(), socketClock ?? new FakeClock()];
      const connection = new WebSocketConnection(far, "server", calls, clock);
      near.pause();
      text(connection, "x".repeat(10_000));
      connection.fail(new TunnelError("PIKO_TUNNEL_EOF", "cut"), 1011);
      await vi.waitUntil(() => far.socket.writableFinished);
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(afterMs - 1);
      near.checkPeer();
      expect(near.socket.destroyed).toBe(false);
      clock.advance(1);
      await calls.closed;
      near.checkPeer();
      await nearCalls.closed();
      expect(nearCalls.errors[0]).toMatchObject({ code: "ECONNRESET" });
      expect(calls.error?.message).toBe("cut");
      clock.assertIdle();
    }
  });

  it("after a failure lets a peer read everything that was sent, and close", async () => {
    const { calls, connection, near, nearCalls, clock } = await raw();
    text(connection, "partial");
    connection.fail(new TunnelError("PIKO_TUNNEL_EOF", "cut"), 1011);
    await nearCalls.when(() => nearCalls.count("end") === 1);
    expect(nearCalls.bytes.toString("latin1")).toBe("\x82\x07partial\x88\x05\x03\xf3cut");
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(nearCalls.errors).toEqual([undefined]);
    clock.assertIdle();
  });

  it("without a Close frame sends what is queued and then FIN", async () => {
    const { calls, connection, near, nearCalls, clock } = await raw();
    text(connection, "last");
    connection.endWithoutClose();
    connection.endWithoutClose();
    await nearCalls.when(() => nearCalls.count("end") === 1);
    expect(nearCalls.bytes.toString("latin1")).toBe("\x82\x04last");
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(calls.calls).toEqual(["close"]);
    expect(calls.error).toBeUndefined();
    clock.assertIdle();
  });
});
