// Large bodies, slow readers on either side, and how much the agent holds meanwhile.

import { PatternChecker, PatternSource } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { answering, received, Fixtures } from "../../test/agent-rig.js";

const fixtures = new Fixtures();
afterEach(() => fixtures.dispose());

const MIB = 1024 * 1024;
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Removes the head of what a stream receives; returns a function that takes the bytes. */
function bodyInto(checker: PatternChecker): (bytes: Buffer) => void {
  let head: Buffer | undefined = Buffer.alloc(0);
  return (bytes) => {
    if (head === undefined) return checker.update(bytes);
    head = Buffer.concat([head, bytes]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    checker.update(head.subarray(end + 4));
    head = undefined;
  };
}

describe("bulk", () => {
  it("64 MB downloaded arrive intact", async () => {
    const total = 64 * MIB;
    const port = await fixtures.http(async (_request, response) => {
      response.setHeader("Content-Length", total);
      for (const piece of new PatternSource(total)) {
        if (!response.write(piece)) await new Promise((resolve) => response.once("drain", resolve));
      }
      response.end();
    });
    const rig = await fixtures.rig({ service: port });
    const checker = new PatternChecker();
    const stream = rig.open();
    stream.onBytes = bodyInto(checker);
    await stream.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").over();
    expect(stream.ended).toBe(true);
    expect(checker.mismatchAt).toBe(-1);
    expect(checker.offset).toBe(total);
  }, 30_000);

  it("64 MB uploaded arrive intact", async () => {
    const total = 64 * MIB;
    const checker = new PatternChecker();
    const port = await fixtures.http((request, response) => {
      request.on("data", (data: Buffer) => checker.update(data));
      request.on("end", () => response.end("done"));
    });
    const rig = await fixtures.rig({ service: port });
    const stream = rig.open().write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${total}\r\n\r\n`);
    for (const piece of new PatternSource(total)) {
      stream.write(piece);
      await stream.until(({ queuedBytes }) => queuedBytes < MIB);
    }
    await stream.over();
    expect(stream.text).toMatch(/done$/);
    expect(checker.mismatchAt).toBe(-1);
    expect(checker.offset).toBe(total);
  }, 30_000);
});

describe("a slow reader", () => {
  it("of a response stops the service, and gets everything when it continues", async () => {
    const total = 32 * MIB;
    let written = 0;
    const service = await fixtures.raw(async (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
      for (const piece of new PatternSource(total)) {
        written += piece.length;
        if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve));
      }
    });
    const rig = await fixtures.rig({ service: service.port });
    const checker = new PatternChecker();
    const stream = rig.open();
    stream.onBytes = bodyInto(checker);
    stream.reading = false;
    stream.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    await stream.until(({ bytes }) => bytes === 256 * 1024);
    await turns(200);
    expect(stream.bytes).toBe(256 * 1024);
    // The rest is in the service and in the kernel's buffers, which are limited to a few MiB.
    expect(written).toBeLessThan(16 * MIB);
    stream.resume();
    await stream.over();
    expect(checker.mismatchAt).toBe(-1);
    expect(checker.offset).toBe(total);
    // The connection was paused; it must resume reading before it is reused.
    expect(rig.pool.idleCount).toBe(1);
  }, 30_000);

  it("of a request's body stops the client, and gets everything when it continues", async () => {
    const total = 32 * MIB;
    const checker = new PatternChecker();
    const service = await fixtures.raw(() => {});
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${total}\r\n\r\n`);
    for (const piece of new PatternSource(total)) stream.write(piece);
    const socket = await service.connection(0);
    const seen = await received(socket, (text) => text.includes("\r\n\r\n"));
    socket.pause();
    checker.update(Buffer.from(seen.slice(seen.indexOf("\r\n\r\n") + 4), "latin1"));
    await turns(500);
    // What was sent is in the kernel's buffers and, at most one window of it, in the agent.
    expect(stream.queuedBytes).toBeGreaterThan(total - 16 * MIB);
    const before = stream.queuedBytes;
    await turns(100);
    expect(stream.queuedBytes).toBe(before);
    socket.on("data", (data) => {
      checker.update(data);
      if (checker.offset === total) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    socket.resume();
    await stream.over();
    expect(stream.ended).toBe(true);
    expect(checker.mismatchAt).toBe(-1);
    expect(rig.pool.idleCount).toBe(1);
  }, 30_000);

  it("of one stream doesn't block the others", async () => {
    const big = Buffer.alloc(4 * MIB).toString("latin1");
    const service = await fixtures.raw(
      answering((head) =>
        head.includes("/big")
          ? `HTTP/1.1 200 OK\r\nContent-Length: ${big.length}\r\n\r\n${big}`
          : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      ),
    );
    const rig = await fixtures.rig({ service: service.port });
    const slow = rig.open();
    slow.reading = false;
    slow.write("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    await slow.until(({ bytes }) => bytes === 256 * 1024);
    for (let i = 0; i < 5; i++) {
      const quick = await rig.request("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
      expect(quick.text).toMatch(/ok$/);
    }
    slow.resume();
    await slow.over();
    expect(slow.ended).toBe(true);
  });

  it("a response that its client reads late leaves the connection fit for the next request", async () => {
    const body = "x".repeat(300 * 1024);
    const service = await fixtures.raw(
      answering(() => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
    );
    const rig = await fixtures.rig({ service: service.port });
    const get = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const slow = rig.open();
    slow.reading = false;
    slow.write(get);
    while (rig.pool.idleCount === 0) await turns(1);
    expect((await rig.request(get)).text.endsWith(body)).toBe(true);
    expect(service.connections.length).toBe(1);
    slow.resume();
    expect((await slow.over()).text.endsWith(body)).toBe(true);
  });
});
