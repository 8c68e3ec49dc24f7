import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import "../../../testkit/src/leak-guard.js";
import { connectLoopback, type Loopback, send } from "../../tests/loopback.js";
import type { TunnelError } from "../errors.js";
import { WebSocketConnection, type WebSocketHandler } from "./connection.js";

class Recorder implements WebSocketHandler {
  readonly calls: string[] = [];
  bytes: Buffer = Buffer.alloc(0);
  error: TunnelError | undefined;
  onEndDo: (() => void) | undefined;
  onPayloadDo: (() => void) | undefined;
  readonly closed: Promise<void>;
  #resolve: (() => void) | undefined;
  readonly #waiting: { until: () => boolean; resolve: () => void }[] = [];

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  onPayload(buffer: Buffer, start: number, end: number): void {
    this.bytes = Buffer.concat([this.bytes, buffer.subarray(start, end)]);
    this.onPayloadDo?.();
    this.#check();
  }

  onEnd(): void {
    this.calls.push("end");
    this.onEndDo?.();
    this.#check();
  }

  onDrain(): void {
    this.#check();
  }

  onClose(error: TunnelError | undefined): void {
    this.calls.push("close");
    this.error = error;
    this.#resolve?.();
    this.#check();
  }

  when(until: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ until, resolve });
      this.#check();
    });
  }

  #check(): void {
    for (const { until, resolve } of this.#waiting) if (until()) resolve();
  }
}

/** Both ends speak WebSocket: `near` is the client. */
async function pair(): Promise<{
  client: WebSocketConnection;
  clientCalls: Recorder;
  server: WebSocketConnection;
  serverCalls: Recorder;
}> {
  const { near, far } = await connectLoopback();
  const clientCalls = new Recorder();
  const serverCalls = new Recorder();
  return {
    client: new WebSocketConnection(near, "client", clientCalls),
    clientCalls,
    server: new WebSocketConnection(far, "server", serverCalls),
    serverCalls,
  };
}

/** Only the accepted end speaks WebSocket; the test writes the other end's bytes. */
async function raw(
  role: "client" | "server" = "server",
  eofIsEnd = false,
): Promise<
  Loopback & {
    calls: Recorder;
    clock: FakeClock;
    connection: WebSocketConnection;
    peerSends(hex: string): void;
  }
> {
  const loopback = await connectLoopback();
  const calls = new Recorder();
  const clock = new FakeClock();
  const connection = new WebSocketConnection(loopback.far, role, calls, clock, eofIsEnd);
  const peerSends = (hex: string): void =>
    send(loopback.near, Buffer.from(hex.replaceAll(" ", ""), "hex").toString("latin1"));
  return { ...loopback, calls, clock, connection, peerSends };
}

const text = (connection: WebSocketConnection, bytes: string): void => {
  const buffer = Buffer.from(bytes);
  connection.write(buffer, 0, buffer.length);
};

describe("messages", () => {
  it("carry bytes both ways, and one turn's writes leave as one frame", async () => {
    const { connection, near, nearCalls, calls, peerSends } = await raw();
    text(connection, "hello ");
    text(connection, "world");
    await nearCalls.when(() => nearCalls.bytes.length === 13);
    expect(nearCalls.bytes.toString("hex", 0, 2)).toBe("820b");
    peerSends("8285 00000000 6869686968");
    await calls.when(() => calls.bytes.length === 5);
    near.destroy();
    await calls.closed;
    await nearCalls.closed();
  });

  it("are masked by a client, with another key each", async () => {
    const { connection, near, nearCalls, calls } = await raw("client");
    text(connection, "aaaaaaaa");
    await nearCalls.when(() => nearCalls.bytes.length === 14);
    text(connection, "aaaaaaaa");
    await nearCalls.when(() => nearCalls.bytes.length === 28);
    const frames = [nearCalls.bytes.subarray(0, 14), nearCalls.bytes.subarray(14)];
    for (const frame of frames) {
      expect(frame.toString("hex", 0, 2)).toBe("8288");
      const key = frame.subarray(2, 6);
      const unmasked = frame.subarray(6).map((byte, i) => byte ^ (key[i & 3] as number));
      expect(Buffer.from(unmasked).toString()).toBe("aaaaaaaa");
    }
    expect(frames[0]?.equals(frames[1] as Buffer)).toBe(false);
    near.destroy();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });

  it("carry megabytes unchanged between our own ends", async () => {
    const { client, clientCalls, server, serverCalls } = await pair();
    const bytes = Buffer.alloc(3 * 1024 * 1024 + 7);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7 + (i >>> 9)) & 0xff;
    client.write(bytes, 0, bytes.length);
    server.write(bytes, 0, bytes.length);
    const all = (calls: Recorder) => calls.when(() => calls.bytes.length === bytes.length);
    await Promise.all([all(clientCalls), all(serverCalls)]);
    expect(serverCalls.bytes.equals(bytes)).toBe(true);
    expect(clientCalls.bytes.equals(bytes)).toBe(true);
    client.destroy();
    await Promise.all([clientCalls.closed, serverCalls.closed]);
  });
});

describe("pings", () => {
  it("are answered with their payload, behind what was written before", async () => {
    const { connection, near, nearCalls, calls, peerSends } = await raw();
    calls.onPayloadDo = () => text(connection, "first");
    peerSends("8281 00000000 61 8984 00000000 70696e67 8a80 00000000");
    await nearCalls.when(() => nearCalls.bytes.length === 13);
    expect(nearCalls.bytes.toString("latin1")).toBe("\x82\x05first\x8a\x04ping");
    near.destroy();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });

  it("of one turn are answered once, with the latest, and before a close", async () => {
    const { connection, near, nearCalls, calls } = await raw();
    for (let i = 0; i < 1_000; i++) connection.onPing(Buffer.from(`ping ${i % 10}`));
    await nearCalls.when(() => nearCalls.bytes.length > 0);
    for (let i = 0; i < 1_000; i++) connection.onPing(Buffer.from(""));
    connection.close();
    connection.onPing(Buffer.from("late"));
    await nearCalls.when(() => nearCalls.count("end") === 1);
    expect(nearCalls.bytes.toString("latin1")).toBe("\x8a\x06ping 9\x8a\x00\x88\x02\x03\xe8");
    near.destroy();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });

  it("are counted like all frames, so that floods of them get shorter turns", async () => {
    const { connection, near, nearCalls, calls } = await raw();
    const frames = Buffer.from("8980000000008a80000000008280000000008281000000000a", "hex");
    connection.onBytes(frames, 0, frames.length);
    expect(connection.socket.messages).toBe(4);
    near.destroy();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });

  it("to a peer that doesn't read cost nothing, and the last is answered when it reads again", async () => {
    const { connection, near, nearCalls, calls } = await raw();
    near.pause();
    const filler = Buffer.alloc(64 * 1024);
    let sent = 0;
    while (!connection.out.congested || sent < 24 * 1024 * 1024) {
      connection.write(filler, 0, filler.length);
      sent += filler.length;
    }
    const waiting = connection.out.pendingBytes;
    for (let i = 0; i < 10_000; i++) connection.onPing(Buffer.from(`ping ${i % 10}`));
    expect(connection.out.pendingBytes).toBe(waiting);
    let tail = "";
    nearCalls.onBytesDo = (buffer, start, end) => {
      tail = (tail + buffer.toString("latin1", start, end)).slice(-8);
    };
    near.resume();
    await nearCalls.when(() => tail === "\x8a\x06ping 9");
    near.destroy();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });
});

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
    // Long enough for a FIN to arrive behind the Close.
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

  it("by a plain end is a cut, but for a peer that has no other end", async () => {
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

  it("by a plain end behind a Close frame is a cut while we have more to say", async () => {
    const { calls, near, nearCalls, clock, peerSends } = await raw();
    peerSends("8880 00000000");
    await calls.when(() => calls.calls.includes("end"));
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(calls.calls).toEqual(["end", "close"]);
    expect(calls.error?.code).toBe("PIKO_TUNNEL_EOF");
    clock.assertIdle();
  });

  it("by an error code has no end, even behind our own", async () => {
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

  it("by a reset is an error behind our own end, while the peer has not ended", async () => {
    const { calls, connection, near, nearCalls, clock } = await raw();
    connection.end();
    await nearCalls.when(() => nearCalls.bytes.length > 0);
    near.reset();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(calls.calls).toEqual(["close"]);
    expect(calls.error?.code).toBe("PIKO_TUNNEL_SOCKET");
    clock.assertIdle();
  });

  it("by both ends waits for what was sent, however long the peer takes to read it", async () => {
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

  it("by a reset of the connection is an error, unless we were closing", async () => {
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

  it("lets a slow reader take the rest as long as it takes something", async () => {
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
    // Nothing more is taken now.
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5_000);
    clock.advance(5_000);
    expect(socket.destroyed).toBe(true);
    await calls.closed;
    clock.assertIdle();
    near.destroy();
    await nearCalls.closed();
  });

  it("without a Close frame sends what is pending and then FIN", async () => {
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

describe("a peer that breaks the protocol", () => {
  it.each([
    ["an unmasked frame", "8200", "PIKO_WS_NOT_MASKED", 1002],
    ["a text message", "8180 00000000", "PIKO_WS_TEXT_MESSAGE", 1003],
  ])("with %s gets a Close frame, and nothing of it is read any more", async (_name, hex, code, status) => {
    const { calls, near, nearCalls, clock, peerSends } = await raw();
    peerSends(`${hex} 8281 00000000 61 8980 00000000`);
    await nearCalls.when(() => nearCalls.count("end") === 1);
    const length = nearCalls.bytes[1] as number;
    expect(nearCalls.bytes[0]).toBe(0x88);
    expect(nearCalls.bytes).toHaveLength(2 + length);
    expect(nearCalls.bytes.readUInt16BE(2)).toBe(status);
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
    expect(calls.error).toMatchObject({ code });
    expect(calls.bytes).toHaveLength(0);
    clock.assertIdle();
  });

  it("gets a reason that is cut between two characters", async () => {
    const { calls, connection, near, nearCalls } = await raw();
    connection.close(1011, `${"x".repeat(122)}éé`);
    await nearCalls.when(() => nearCalls.count("end") === 1);
    expect(nearCalls.bytes.toString("utf8", 4)).toBe("x".repeat(122));
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });
});

it("may be destroyed in any callback, and tells of its end once", async () => {
  for (const name of ["onPayloadDo", "onEndDo"] as const) {
    const { calls, connection, near, nearCalls, clock, peerSends } = await raw();
    calls[name] = () => connection.destroy();
    peerSends("8281 00000000 61 8282 00000000 6263 8880 00000000");
    await calls.closed;
    near.destroy();
    await nearCalls.closed();
    expect(calls.bytes.toString()).toBe(name === "onPayloadDo" ? "a" : "abc");
    expect(calls.calls.filter((call) => call === "close")).toHaveLength(1);
    expect(calls.error).toBeUndefined();
    clock.assertIdle();
  }
});
