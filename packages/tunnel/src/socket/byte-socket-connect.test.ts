// Sockets that open their own connection: to which address, for how long, and what can be called before it is open.

import { once } from "node:events";
import { connect as connectUnix, createServer } from "node:net";
import { writeFile } from "node:fs/promises";
import { createServer as createTlsServer } from "node:tls";
import { createCertificates, FakeClock } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { SocketRecorder, send } from "../../tests/loopback.js";
import { HostLookup } from "../dial/host-lookup.js";
import { ByteSocket } from "./byte-socket.js";
import { SLAB_BYTES } from "./slab-pool.js";

const files = createCertificates();

afterAll(() => files[Symbol.dispose]());

const tls = {
  server: { cert: files.read(files.serverCert), key: files.read(files.serverKey) },
  ca: files.read(files.caCert),
};

describe("connect", () => {
  it("sends what was written before the connection was open", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const calls = new SocketRecorder();
    const near = ByteSocket.connect(
      { host: "127.0.0.1", port: (server.address() as { port: number }).port },
      calls,
    );
    send(near, "first");
    const [accepted] = await once(server, "connection");
    accepted.pipe(accepted);
    await calls.when(() => calls.bytes.length === 5);
    near.close();
    await calls.closed();
    server.close();
  });

  it("reports a refused connection as its end, once", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = (server.address() as { port: number }).port;
    server.close();
    await once(server, "close");
    const calls = new SocketRecorder();
    ByteSocket.connect({ host: "127.0.0.1", port }, calls);
    await calls.closed();
    expect(calls.calls).toEqual(["close"]);
    expect(calls.errors).toMatchObject([{ code: "ECONNREFUSED" }]);
  });

  it.each([
    ["TCP", undefined],
    ["TLS", tls.ca],
  ])("finds the address of a name that accepts, with %s", async (_kind, ca) => {
    const server = ca === undefined ? createServer() : createTlsServer(tls.server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    // Addresses at which nothing listens.
    const hostsPath = `${files.directory}/hosts`;
    await writeFile(hostsPath, "127.0.0.9 piko.test\n127.0.0.8 piko.test\n127.0.0.1 piko.test\n");
    const names = new HostLookup({ hostsPath });
    const { port } = server.address() as { port: number };
    const calls = new SocketRecorder();
    const greeted = once(server, ca === undefined ? "connection" : "secureConnection");
    const near = await new Promise<ByteSocket>((resolve) => {
      const secure = ca === undefined ? {} : { tls: { ca, servername: "localhost" } };
      const onOpen = (): void => resolve(socket);
      const socket = ByteSocket.connect({ host: "piko.test", port, names, onOpen, ...secure }, calls);
      send(socket, "early ");
      // More than may be written before the connection is open.
      socket.out.write(Buffer.alloc(SLAB_BYTES), 0, SLAB_BYTES);
      expect(socket.opening).toBe(true);
      expect(socket.out.congested).toBe(true);
    });
    const [accepted] = await greeted;
    let received = 0;
    accepted.on("data", (chunk: Buffer) => (received += chunk.length));
    await calls.when(() => calls.count("drain") === 1);
    expect(near.socket.remoteAddress).toBe("127.0.0.1");
    near.close();
    await once(accepted, "end");
    expect(received).toBe(6 + SLAB_BYTES);
    accepted.destroy();
    await calls.closed();
    expect(calls.errors).toEqual([undefined]);
    server.close();
  });

  it("fails with all causes, and after its timeout", async () => {
    const hostsPath = `${files.directory}/hosts`;
    await writeFile(hostsPath, "127.0.0.9 piko.test\n127.0.0.8 piko.test\n");
    const names = new HostLookup({ hostsPath });
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const refused = new SocketRecorder();
    ByteSocket.connect({ host: "piko.test", port, names }, refused);
    await refused.closed();
    expect(refused.errors).toMatchObject([{ code: "ECONNREFUSED" }]);
    // The other side never starts the TLS handshake.
    const clock = new FakeClock();
    const silent = new SocketRecorder();
    const accepted = once(server, "connection");
    const near = ByteSocket.connect({ host: "127.0.0.1", port, clock, timeoutMs: 5_000, tls: {} }, silent);
    const [far] = await accepted;
    expect(near.opening).toBe(true);
    clock.advance(5_000);
    await silent.closed();
    expect(silent.errors).toMatchObject([{ message: "no connection in 5000 ms" }]);
    clock.assertIdle();
    far.destroy();
    server.close();
  });

  it("can be cancelled before the connection is open", async () => {
    for (const act of ["destroy", "reset", "close"] as const) {
      const server = createServer((socket) => socket.resume());
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const calls = new SocketRecorder();
      const near = ByteSocket.connect(
        { host: "127.0.0.1", port: (server.address() as { port: number }).port },
        calls,
      );
      near[act]();
      await calls.closed();
      expect(calls.count("close")).toBe(1);
      server.close();
    }
  });

  it("works over Unix sockets, including resets", async () => {
    const server = createServer({ pauseOnConnect: true });
    const path = `${files.directory}/socket`;
    server.listen(path);
    await once(server, "listening");
    const calls = new SocketRecorder();
    const farCalls = new SocketRecorder();
    const opened = connectUnix({ path, allowHalfOpen: true });
    const [[accepted]] = await Promise.all([once(server, "connection"), once(opened, "connect")]);
    const near = ByteSocket.accept(opened, calls);
    const far = ByteSocket.accept(accepted, farCalls);
    send(far, "hello");
    await calls.when(() => calls.bytes.length === 5);
    near.reset();
    await calls.closed();
    await farCalls.when(() => farCalls.calls.length > 0);
    far.reset();
    await farCalls.closed();
    server.close();
  });
});
