import { describe, expect, it } from "vitest";
import { pair, raw, Recorder, text } from "../../tests/websocket-pair.js";

describe("messages", () => {
  it("carry bytes in both directions, and one turn's writes leave as one frame", async () => {
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

  it("are masked by a client, each with another key", async () => {
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
  it("are answered with their payload, after what was written before", async () => {
    const { connection, near, nearCalls, calls, peerSends } = await raw();
    calls.onPayloadDo = () => text(connection, "first");
    peerSends("8281 00000000 61 8984 00000000 70696e67 8a80 00000000");
    await nearCalls.when(() => nearCalls.bytes.length === 13);
    expect(nearCalls.bytes.toString("latin1")).toBe("\x82\x05first\x8a\x04ping");
    near.destroy();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });

  it("in one turn are answered once, with the latest, and before a close", async () => {
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

describe("a peer that violates the protocol", () => {
  it.each([
    ["an unmasked frame", "8200", "PIKO_WS_NOT_MASKED", 1002],
    ["a text message", "8180 00000000", "PIKO_WS_TEXT_MESSAGE", 1003],
  ])("with %s gets a Close frame, and nothing is read from it any more", async (_name, hex, code, status) => {
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

  it("gets a reason that is truncated between two characters", async () => {
    const { calls, connection, near, nearCalls } = await raw();
    connection.close(1011, `${"x".repeat(122)}éé`);
    await nearCalls.when(() => nearCalls.count("end") === 1);
    expect(nearCalls.bytes.toString("utf8", 4)).toBe("x".repeat(122));
    near.close();
    await Promise.all([calls.closed, nearCalls.closed()]);
  });
});

it("can be destroyed in any callback, and reports its end once", async () => {
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
