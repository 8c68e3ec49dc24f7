// What a peer sent before it closed the connection is read, although it did not read everything that was written to it.

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { createCertificates, FakeClock } from "@piko/testkit";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { SocketRecorder, send } from "../../tests/loopback.js";
import type { Clock } from "../clock.js";
import { systemClock } from "../system-clock.js";
import { ByteSocket } from "./byte-socket.js";

const files = createCertificates();
afterAll(() => files[Symbol.dispose]());
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.close();
    await once(server, "close");
  }
});

/** A reset drops what doesn't fit into the other kernel's buffers. */
const ANSWER = Buffer.alloc(20_000, "no ");
/** More than a peer reads before it notices that it is paused. */
const UPLOAD = "x".repeat(400_000);

type Ending = (peer: Socket) => void;
/** Closes with unread bytes, so that its kernel sends a reset, after the answer. */
const cut: Ending = (peer) => void peer.write(ANSWER, () => peer.destroy());
/** The same after an end. */
const endAndCut: Ending = (peer) => void peer.end(ANSWER, () => peer.destroy());

/** A connection to a peer that reads only the first bytes, answers, and closes; nothing of its answer has been read yet. */
async function connectTo(ending: Ending, { secure = false, clock = systemClock as Clock } = {}) {
  let isGone = (): void => {};
  const gone = new Promise<void>((resolve) => (isGone = resolve));
  const onPeer = (peer: Socket): void => {
    peer.on("error", () => {}).once("close", () => isGone());
    peer.once("data", () => {
      peer.pause();
      ending(peer);
    });
  };
  const options = { allowHalfOpen: true };
  const server = secure
    ? createTlsServer(
        { ...options, cert: files.read(files.serverCert), key: files.read(files.serverKey) },
        onPeer,
      )
    : createServer(options, onPeer);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const calls = new SocketRecorder();
  const tls = secure ? { tls: { ca: files.read(files.caCert), servername: "localhost" } } : {};
  const socket = await new Promise<ByteSocket>((resolve) => {
    const onOpen = (): void => resolve(opening);
    const opening = ByteSocket.connect({ host: "127.0.0.1", port, clock, onOpen, ...tls }, calls);
  });
  socket.pause();
  send(socket, UPLOAD);
  await gone;
  return { socket, calls };
}

describe.each([
  ["plain TCP", false],
  ["TLS", true],
] as const)("a write that fails on a %s connection", (_, secure) => {
  it("leaves what had arrived before to be read, and is reported after that", async () => {
    const { socket, calls } = await connectTo(cut, { secure });
    send(socket, UPLOAD);
    send(socket, UPLOAD);
    socket.end();
    await new Promise(setImmediate);
    expect(calls.count("close")).toBe(0);
    socket.resume();
    await calls.closed();
    expect(calls.bytes.equals(ANSWER)).toBe(true);
    expect(calls.count("end")).toBe(0);
    expect(calls.errors[0]).toMatchObject({ syscall: "write" });
  });
});

describe("a write that fails", () => {
  it.runIf(process.platform === "linux")("reports the peer's end, if it had ended before", async () => {
    const { socket, calls } = await connectTo(endAndCut);
    send(socket, UPLOAD);
    await new Promise(setImmediate);
    socket.resume();
    await calls.closed();
    expect(calls.bytes.equals(ANSWER)).toBe(true);
    expect(calls.calls.filter((call) => call !== "drain")).toEqual(["end", "close"]);
    expect(calls.errors[0]).toMatchObject({ code: "EPIPE" });
  });

  it("closes a connection that was closing anyway", async () => {
    const { socket, calls } = await connectTo(cut);
    send(socket, UPLOAD);
    await new Promise(setImmediate);
    socket.close();
    await calls.closed();
    expect(calls.bytes.length).toBe(0);
  });

  it("closes a connection whose peer's bytes aren't read for half a minute", async () => {
    const clock = new FakeClock();
    const { socket, calls } = await connectTo(cut, { clock });
    send(socket, UPLOAD);
    await vi.waitUntil(() => clock.pending === 1);
    clock.advance(29_999);
    expect(socket.socket.destroyed).toBe(false);
    clock.advance(1);
    await calls.closed();
    clock.assertIdle();
  });
});
