// Upgraded requests and TCP listeners: raw bytes in both directions, in order, with half-close.

import { createServer } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { FakeClock, PatternChecker, PatternSource } from "@piko/testkit";
import { isResetAtEnd } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { answering, received, Fixtures } from "../../test/agent-rig.js";

const fixtures = new Fixtures();
afterEach(() => fixtures.dispose());

const UPGRADE = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: Echo\r\n\r\n";
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: Echo\r\n\r\n";
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("an upgrade", () => {
  it("loses nothing: bytes with the head, before the 101 and right after it arrive in order", async () => {
    let toService = "";
    const service = await fixtures.raw((socket) => {
      socket.on("data", (data) => (toService += data.toString()));
    });
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write(`${UPGRADE}first `);
    stream.write("second ");
    const socket = await service.connection(0);
    await received(socket, () => toService.endsWith("\r\n\r\n"));
    stream.write("third ");
    for (let i = 0; i < 20; i++) await turn();
    // The service gets none of the early bytes as long as it may still reject the upgrade.
    expect(toService).toMatch(/^GET \/ws HTTP\/1\.1\r\n[^]*Connection: Upgrade\r\nUpgrade: Echo\r\n\r\n$/);
    socket.write(`${SWITCH}hello `);
    socket.write("there");
    await stream.until(({ text }) => text.endsWith("there"));
    stream.write("fourth");
    await received(socket, () => toService.endsWith("fourth"));
    expect(toService.slice(toService.indexOf("\r\n\r\n") + 4)).toBe("first second third fourth");
    expect(stream.text).toBe(`${SWITCH}hello there`);
  });

  it("that is rejected sends none of the early bytes to the service", async () => {
    let toService = "";
    const service = await fixtures.raw((socket) => {
      socket.on("data", (data) => {
        toService += data.toString();
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
      });
    });
    const rig = await fixtures.rig({ service: service.port });
    const response = await rig.request(`${UPGRADE}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n`);
    expect(response.text).toMatch(/no$/);
    expect(toService).not.toContain("smuggled");
    await rig.request(UPGRADE);
    expect(toService).not.toContain("smuggled");
  });

  it("holds early bytes up to the stream's window", async () => {
    const service = await fixtures.raw(answering(() => undefined));
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write(UPGRADE).write(Buffer.alloc(1_000_000));
    await service.connection(0);
    for (let i = 0; i < 100; i++) await turn();
    expect(stream.queuedBytes).toBeGreaterThan(1_000_000 - 256 * 1024);
    const socket = await service.connection(0);
    let bytes = 0;
    const all = received(socket, (text) => (bytes = text.length) >= 1_000_000);
    socket.write(SWITCH);
    await all;
    expect(bytes).toBe(1_000_000);
  });

  it("ends each direction separately", async () => {
    const service = await fixtures.raw((socket) => {
      let text = "";
      socket.once("data", () => socket.write(SWITCH));
      socket.on("data", (data) => (text += data.toString()));
      socket.on("end", () => socket.end(`got ${text.slice(-5)}`));
    });
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write(UPGRADE);
    await stream.until(({ text }) => text === SWITCH);
    await stream.write("bytes").end().over();
    expect(stream.text).toBe(`${SWITCH}got bytes`);
    expect(stream.ended).toBe(true);
    while (rig.metrics.inFlight > 0) await turn();
    expect(rig.statuses).toEqual({ 101: 1 });
    expect(rig.agentStreams).toBe(0);
  });

  it("resets the service's connection if the stream is reset, and vice versa", async () => {
    const service = await fixtures.raw((socket) => socket.once("data", () => socket.write(SWITCH)));
    const rig = await fixtures.rig({ service: service.port });
    const left = rig.open().write(UPGRADE);
    await left.until(({ text }) => text === SWITCH);
    const socket = await service.connection(0);
    const failed = once(socket, "error");
    socket.resume();
    left.stream?.reset();
    expect(String(await failed)).toContain("ECONNRESET");
    const cut = rig.open().write(UPGRADE);
    await cut.until(({ text }) => text === SWITCH);
    (await service.connection(1)).resetAndDestroy();
    expect((await cut.over()).reset).toBe(true);
  });

  it("with a peer that doesn't support half-close ends entirely with either direction", async () => {
    let text = "";
    const service = await fixtures.raw((socket) => {
      socket.once("data", () => socket.write(SWITCH));
      socket.on("data", (data) => (text += data.toString()));
    });
    const rig = await fixtures.rig({ service: service.port, halfClose: false });
    const stream = rig.open().write(UPGRADE);
    await stream.until((s) => s.text === SWITCH);
    stream.write("last").end();
    await stream.over();
    await service.gone(0);
    expect(text).toMatch(/last$/);
    while (rig.agentStreams > 0) await turn();
  });
});

describe("a service", () => {
  it("that writes and resets immediately is cut after what it wrote", async () => {
    const service = await fixtures.raw((socket) => {
      socket.once("data", () => socket.write("partial", () => socket.resetAndDestroy()));
    });
    const rig = await fixtures.rig({ service: service.port, protocol: "tcp" });
    for (const ended of [false, true]) {
      const stream = rig.open().write("x");
      if (ended) stream.end();
      await stream.over();
      expect([stream.text, stream.reset, stream.ended]).toEqual(["partial", true, false]);
    }
  });

  it("gets the bytes before a cut as far as they can be sent, then a reset", async () => {
    let text = "";
    const service = await fixtures.raw((socket) => socket.on("data", (data) => (text += data.toString())));
    const rig = await fixtures.rig({ service: service.port, protocol: "tcp" });
    const stream = rig.open();
    const socket = await service.connection(0);
    const reset = new Promise<boolean>((resolve) => {
      socket.on("error", () => resolve(true));
      socket.on("end", () => resolve(isResetAtEnd(socket)));
    });
    stream.write("partial");
    stream.stream?.reset();
    expect(await reset).toBe(true);
    expect(text).toBe("partial");
  });

  it("gets all queued bytes and an end after a Go node's end, and the node gets an end too", async () => {
    let bytes = 0;
    const service = await fixtures.raw((socket) => void socket.pause());
    const rig = await fixtures.rig({ service: service.port, protocol: "tcp", halfClose: false });
    const stream = rig.open();
    const socket = await service.connection(0);
    socket.write("nobody reads this");
    stream.write(Buffer.alloc(200_000)).end();
    await stream.over();
    expect([stream.ended, stream.reset]).toEqual([true, false]);
    socket.on("data", (data) => (bytes += data.length)).resume();
    await once(socket, "end");
    expect(bytes).toBe(200_000);
    socket.destroy();
  });
});

describe("a service that is slow to read", () => {
  it.each(["http", "tcp"] as const)(
    "gets everything that its client sent before a Go node's end, whenever it reads it (%s)",
    async (protocol) => {
      const service = await fixtures.raw((socket) => {
        if (protocol === "http") socket.once("data", () => socket.pause().write(SWITCH));
        else socket.pause();
      });
      const clock = new FakeClock();
      const rig = await fixtures.rig({ service: service.port, protocol, halfClose: false, clock });
      const stream = rig.open();
      if (protocol === "http") await stream.write(UPGRADE).until(({ text }) => text === SWITCH);
      const socket = await service.connection(0);
      const piece = Buffer.alloc(64 * 1024);
      let sent = 0;
      // More than the kernel buffers: the rest is queued in the agent, and in the node by the stream's window.
      for (let turns = 0; turns < 200; turns++) {
        if (stream.queuedBytes === 0) {
          stream.write(piece);
          sent += piece.length;
          turns = 0;
        }
        await turn();
      }
      sent -= stream.queuedBytes;
      stream.stream?.end();
      await stream.until(({ ended }) => ended);
      clock.advance(60_000);
      let bytes = 0;
      socket.on("data", (data) => (bytes += data.length)).resume();
      await once(socket, "end");
      expect(bytes).toBe(sent);
      socket.destroy();
      while (rig.agentStreams > 0 || rig.metrics.inFlight > 0) await turn();
      if (protocol === "http") expect(rig.statuses).toEqual({ 101: 1 });
    },
  );
});

describe("a TCP listener", () => {
  it("carries bytes in both directions, and the end of each direction", async () => {
    const service = await fixtures.raw((socket) => {
      let text = "";
      socket.on("data", (data) => (text += data.toString()));
      socket.on("end", () => socket.end(text.toUpperCase()));
    });
    const rig = await fixtures.rig({ service: service.port, protocol: "tcp" });
    const stream = await rig.open().write("hello").end().over();
    expect(stream.text).toBe("HELLO");
    expect(stream.ended).toBe(true);
    while (rig.agentStreams > 0) await turn();
  });

  it("lets the service speak first", async () => {
    const service = await fixtures.raw((socket) => socket.write("220 ready\r\n"));
    const rig = await fixtures.rig({ service: service.port, protocol: "tcp" });
    const stream = rig.open();
    await stream.until(({ text }) => text === "220 ready\r\n");
    expect(stream.ended).toBe(false);
  });

  it("resets the stream when the service refuses", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    const rig = await fixtures.rig({ service: port, protocol: "tcp" });
    expect((await rig.request("hello")).reset).toBe(true);
  });

  it("has no timeout after it is connected", async () => {
    const clock = new FakeClock();
    const service = await fixtures.raw((socket) => socket.pipe(socket));
    const rig = await fixtures.rig({ service: service.port, protocol: "tcp", clock, timeoutMs: 5_000 });
    const stream = rig.open().write("x");
    await stream.until(({ text }) => text === "x");
    clock.assertIdle();
  });

  it("echoes 32 MB intact", async () => {
    const service = await fixtures.raw((socket) => socket.pipe(socket));
    const rig = await fixtures.rig({ service: service.port, protocol: "tcp" });
    const stream = rig.open();
    const checker = new PatternChecker();
    stream.onBytes = (bytes) => checker.update(bytes);
    const source = new PatternSource(32 * 1024 * 1024);
    for (const piece of source) {
      stream.write(piece);
      await stream.until(({ queuedBytes }) => queuedBytes < 1024 * 1024);
    }
    await stream.end().over();
    expect(stream.ended).toBe(true);
    expect(checker.mismatchAt).toBe(-1);
    expect(checker.offset).toBe(source.totalBytes);
  });
});
