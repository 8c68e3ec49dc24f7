import { once } from "node:events";
import { createServer } from "node:net";
import { createCertificates, FakeClock } from "@piko/testkit";
import { afterAll, describe, expect, it, vi } from "vitest";
import { connectLoopback, type Loopback, SocketRecorder, send } from "../../tests/loopback.js";
import { ByteSocket } from "./byte-socket.js";
import { SLAB_BYTES } from "./slab-pool.js";
import { isConnectionOver } from "./socket-state.js";
import { unwatchedSockets } from "./unwatched-sockets.js";

const files = createCertificates();

afterAll(() => files[Symbol.dispose]());

const tls = {
  server: { cert: files.read(files.serverCert), key: files.read(files.serverKey) },
  ca: files.read(files.caCert),
};

describe.each([
  ["plain TCP", (clock?: FakeClock) => connectLoopback(undefined, "long", clock)],
  ["TLS", (clock?: FakeClock) => connectLoopback(tls, "long", clock)],
] as const)("a %s socket", (_kind, connect) => {
  it("carries bytes in both directions", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    send(near, "hello");
    await farCalls.when(() => farCalls.bytes.length === 5);
    send(far, "welcome");
    await nearCalls.when(() => nearCalls.bytes.length === 7);
    expect(farCalls.bytes.toString()).toBe("hello");
    expect(nearCalls.bytes.toString()).toBe("welcome");
    await closeBoth({ near, nearCalls, far, farCalls });
  });

  it("ends each direction separately", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    send(near, "request");
    near.end();
    await farCalls.when(() => farCalls.count("end") === 1);
    expect(far.ended).toBe(true);
    expect(farCalls.bytes.toString()).toBe("request");
    send(far, "response");
    far.end();
    await Promise.all([nearCalls.closed(), farCalls.closed()]);
    expect(nearCalls.bytes.toString()).toBe("response");
    expect(nearCalls.calls).toEqual(["end", "close"]);
    expect(farCalls.calls).toEqual(["end", "close"]);
    expect([...nearCalls.errors, ...farCalls.errors]).toEqual([undefined, undefined]);
  });

  it("sends what was collected before it closes", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    const bytes = Buffer.alloc(3 * SLAB_BYTES + 5, 9);
    near.out.write(bytes, 0, bytes.length);
    near.close();
    await farCalls.when(() => farCalls.count("end") === 1);
    expect(farCalls.bytes.equals(bytes)).toBe(true);
    far.close();
    await Promise.all([nearCalls.closed(), farCalls.closed()]);
    expect(nearCalls.count("close")).toBe(1);
    expect(farCalls.count("close")).toBe(1);
  });

  it("delivers everything sent before close, even if its peer is still sending", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    const upload = Buffer.alloc(4 * 1024 * 1024);
    near.out.write(upload, 0, upload.length);
    const answer = Buffer.alloc(300_000, 7);
    farCalls.onBytesDo = () => {
      far.pause();
      far.out.write(answer, 0, answer.length);
      far.close();
    };
    await nearCalls.when(() => nearCalls.count("end") === 1);
    expect(nearCalls.bytes.equals(answer)).toBe(true);
    near.close();
    await Promise.all([nearCalls.closed(), farCalls.closed()]);
    expect(farCalls.calls.at(-1)).toBe("close");
    expect(farCalls.count("end")).toBe(0);
    expect([...nearCalls.errors, ...farCalls.errors]).toEqual([undefined, undefined]);
  });

  it("is cut two seconds after its FIN if the peer never ends", async () => {
    const clock = new FakeClock();
    const { near, nearCalls, far, farCalls } = await connect(clock);
    send(near, "bye");
    near.close();
    await farCalls.when(() => farCalls.count("end") === 1);
    await vi.waitUntil(() => clock.pending === 1);
    clock.advance(1_999);
    expect(near.socket.destroyed).toBe(false);
    clock.advance(1);
    await nearCalls.closed();
    far.close();
    await farCalls.closed();
    clock.assertIdle();
  });

  it("transfers megabytes in order while its reader pauses, and drains", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    const total = 12 * 1024 * 1024;
    const piece = Buffer.alloc(100_000);
    let sent = 0;
    let received = 0;
    let wrong = -1;
    let reads = 0;
    farCalls.onBytesDo = (buffer, start, end) => {
      for (let i = start; i < end; i += 97) {
        if (wrong < 0 && buffer[i] !== (((received + i - start) >>> 10) & 0xff)) wrong = received + i - start;
      }
      received += end - start;
      if (++reads % 50 !== 0) return;
      far.pause();
      setImmediate(() => far.resume());
    };
    const fill = (): void => {
      while (sent < total && !near.out.congested) {
        const count = Math.min(piece.length, total - sent);
        for (let i = 0; i < count; i++) piece[i] = ((sent + i) >>> 10) & 0xff;
        near.out.write(piece, 0, count);
        sent += count;
      }
    };
    far.pause();
    for (let i = 0; i < 200 && !near.out.congested; i++) fill();
    expect(near.out.congested).toBe(true);
    expect(received).toBe(0);
    far.resume();
    for (;;) {
      const drains = nearCalls.count("drain");
      fill();
      near.out.flush();
      if (sent === total) break;
      await nearCalls.when(() => nearCalls.count("drain") > drains);
    }
    await farCalls.when(() => received === total);
    expect(wrong).toBe(-1);
    await closeBoth({ near, nearCalls, far, farCalls });
  });

  it("closes for both sides after destroy, and drops later writes", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    send(near, "x");
    near.destroy();
    send(near, "y");
    near.end();
    near.close();
    near.reset();
    near.destroy();
    await nearCalls.closed();
    await farCalls.when(() => farCalls.calls.length > 0);
    far.destroy();
    await farCalls.closed();
    expect(nearCalls.calls).toEqual(["close"]);
    expect(farCalls.count("close")).toBe(1);
  });

  it("is seen as cut after reset", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    send(near, "half of a resp");
    await farCalls.when(() => farCalls.bytes.length > 0);
    near.reset();
    await Promise.all([nearCalls.closed(), farCalls.closed()]);
    expect(farCalls.errors).toMatchObject([{ code: "ECONNRESET" }]);
    expect(farCalls.count("end")).toBe(0);
    expect(nearCalls.errors).toEqual([undefined]);
    expect(far.socket.destroyed).toBe(true);
  });

  it.each([false, true])("notices a reset while it isn't read (after its own end: %s)", async (ended) => {
    const { near, nearCalls, far, farCalls } = await connect();
    far.pause();
    if (ended) {
      far.end();
      await nearCalls.when(() => nearCalls.count("end") === 1);
    }
    const bytes = Buffer.alloc(4 * 1024 * 1024);
    near.out.write(bytes, 0, bytes.length);
    far.checkPeer();
    near.reset();
    await nearCalls.closed();
    expect(farCalls.calls).toEqual([]);
    await untilNoticed(far, farCalls);
    expect(farCalls.bytes).toHaveLength(0);
  });

  it("notices a reset after its peer's end", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    const watched = vi.spyOn(unwatchedSockets, "add");
    near.end();
    await farCalls.when(() => farCalls.count("end") === 1);
    // The event loop doesn't watch for it any more.
    expect(watched).toHaveBeenCalledWith(far);
    watched.mockRestore();
    far.checkPeer();
    near.reset();
    await nearCalls.closed();
    await untilNoticed(far, farCalls);
    expect(farCalls.calls).toEqual(["end", "close"]);
  });

  it("keeps the last bytes and the end when both sides have ended while it isn't read", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    far.pause();
    far.end();
    await nearCalls.when(() => nearCalls.count("end") === 1);
    send(near, "the last bytes");
    near.end();
    await nearCalls.closed();
    await vi.waitUntil(() => isConnectionOver(far.socket));
    for (let i = 0; i < 3; i++) far.checkPeer();
    far.resume();
    await farCalls.closed();
    expect(farCalls.bytes.toString()).toBe("the last bytes");
    expect(farCalls.calls).toEqual(["end", "close"]);
    expect(farCalls.errors).toEqual([undefined]);
  });

  it("can be destroyed in the middle of a read", async () => {
    const { near, nearCalls, far, farCalls } = await connect();
    farCalls.onBytesDo = () => far.destroy();
    const bytes = Buffer.alloc(1 << 20);
    near.out.write(bytes, 0, bytes.length);
    near.out.flush();
    await farCalls.closed();
    near.destroy();
    await nearCalls.closed();
    expect(farCalls.calls).toEqual(["close"]);
  });
});

async function closeBoth({ near, nearCalls, far, farCalls }: Omit<Loopback, "serverClosed">): Promise<void> {
  near.close();
  far.close();
  await Promise.all([nearCalls.closed(), farCalls.closed()]);
  expect(nearCalls.count("close")).toBe(1);
  expect(farCalls.count("close")).toBe(1);
}

/** Checks a socket periodically, as the process does, until it has closed because of a reset. */
async function untilNoticed(socket: ByteSocket, calls: SocketRecorder): Promise<void> {
  while (calls.count("close") === 0) {
    socket.checkPeer();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(calls.errors[0]).toMatchObject({ code: "ECONNRESET" });
}

describe("a reset", () => {
  it("that arrives together with bytes isn't taken for an end, although libuv reports one", async () => {
    for (const ended of [false, true]) {
      const { near, nearCalls, far, farCalls } = await connectLoopback();
      if (ended) {
        far.end();
        await nearCalls.when(() => nearCalls.count("end") === 1);
      }
      send(near, "partial");
      near.out.flush();
      near.reset();
      await Promise.all([nearCalls.closed(), farCalls.closed()]);
      expect(farCalls.bytes.toString()).toBe("partial");
      expect(farCalls.calls).toEqual(["close"]);
      expect(farCalls.errors[0]).toMatchObject({ code: "ECONNRESET" });
    }
  });

  it("closes the socket even after an end that is in transit", async () => {
    for (const turns of [0, 1, 2, 3]) {
      const { near, nearCalls, far, farCalls } = await connectLoopback();
      far.out.write(Buffer.alloc(100_000), 0, 100_000);
      far.end();
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      far.reset();
      await Promise.all([nearCalls.when(() => nearCalls.calls.length > 0), farCalls.closed()]);
      expect(farCalls.calls).toEqual(["close"]);
      near.destroy();
      await nearCalls.closed();
    }
  });
});

describe("accept", () => {
  it("lets the server close without waiting for connections that it has handed over", async () => {
    const loopback = await connectLoopback();
    await loopback.serverClosed;
    send(loopback.near, "still here");
    await loopback.farCalls.when(() => loopback.farCalls.bytes.length === 10);
    expect(loopback.far.socket.remoteAddress).toBe("127.0.0.1");
    await closeBoth(loopback);
  });

  it("loses no byte that arrived before", async () => {
    const server = createServer({ pauseOnConnect: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const calls = new SocketRecorder();
    const client = ByteSocket.connect(
      { host: "127.0.0.1", port: (server.address() as { port: number }).port },
      new SocketRecorder(),
    );
    send(client, "early bytes");
    client.end();
    const [accepted] = await once(server, "connection");
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    const far = ByteSocket.accept(accepted, calls);
    await calls.when(() => calls.count("end") === 1);
    expect(calls.bytes.toString()).toBe("early bytes");
    far.close();
    await calls.closed();
    server.close();
  });

  it("reports the end of a connection that had closed before", async () => {
    const server = createServer({ pauseOnConnect: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const nearCalls = new SocketRecorder();
    const near = ByteSocket.connect(
      { host: "127.0.0.1", port: (server.address() as { port: number }).port },
      nearCalls,
    );
    const [accepted] = await once(server, "connection");
    accepted.destroy();
    await once(accepted, "close");
    const calls = new SocketRecorder();
    ByteSocket.accept(accepted, calls);
    await calls.closed();
    expect(calls.calls).toEqual(["close"]);
    await nearCalls.when(() => nearCalls.calls.length > 0);
    near.close();
    await nearCalls.closed();
    server.close();
  });
});
