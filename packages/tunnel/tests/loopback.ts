// Real connections over the loopback interface, plain or TLS, with both ends taken over by a ByteSocket.

import { once } from "node:events";
import { createServer as createTcpServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { Clock } from "../src/clock.js";
import { ByteSocket } from "../src/socket/byte-socket.js";
import type { SocketHandler } from "../src/socket/socket-handler.js";
import type { ReadLength } from "../src/socket/turn-length.js";

/** Records the calls to a socket's owner. */
export class SocketRecorder implements SocketHandler {
  readonly calls: string[] = [];
  bytes: Buffer = Buffer.alloc(0);
  errors: (Error | undefined)[] = [];
  onBytesDo: ((buffer: Buffer, start: number, end: number) => void) | undefined;
  readonly #waiting: { until: () => boolean; resolve: () => void }[] = [];

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.onBytesDo !== undefined) this.onBytesDo(buffer, start, end);
    else this.bytes = Buffer.concat([this.bytes, buffer.subarray(start, end)]);
    // Read memory is shared: it must not be used afterwards.
    buffer.fill(0xdd, start, end);
    this.#check();
  }

  onEnd(): void {
    this.#note("end");
  }

  onDrain(): void {
    this.#note("drain");
  }

  onClose(error: Error | undefined): void {
    this.errors.push(error);
    this.#note("close");
  }

  /** How often `call` was made. */
  count(call: string): number {
    return this.calls.filter((made) => made === call).length;
  }

  /** Resolves when `until` returns true; it is called after each recorded call. */
  when(until: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ until, resolve });
      this.#check();
    });
  }

  closed(): Promise<void> {
    return this.when(() => this.count("close") > 0);
  }

  #note(call: string): void {
    this.calls.push(call);
    this.#check();
  }

  #check(): void {
    for (const { until, resolve } of this.#waiting) if (until()) resolve();
  }
}

export interface Loopback {
  near: ByteSocket;
  nearCalls: SocketRecorder;
  far: ByteSocket;
  farCalls: SocketRecorder;
  /** Resolves when the server has forgotten its connections. */
  serverClosed: Promise<unknown>;
}

/** The connecting end (`near`) and the accepted one (`far`); the server accepts no further connection. */
export async function connectLoopback(
  tls?: { server: TlsOptions; ca: string },
  readLength: ReadLength = "long",
  clock?: Clock,
): Promise<Loopback> {
  const server =
    tls === undefined
      ? createTcpServer({ pauseOnConnect: true })
      : createTlsServer({ ...tls.server, allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = (server.address() as { port: number }).port;
  const nearCalls = new SocketRecorder();
  const farCalls = new SocketRecorder();
  const accepted = new Promise<ByteSocket>((resolve) => {
    server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) =>
      resolve(ByteSocket.accept(socket, farCalls, readLength, clock)),
    );
  });
  const near = await new Promise<ByteSocket>((resolve) => {
    const onOpen = (): void => resolve(opening);
    const options = {
      host: "127.0.0.1",
      port,
      onOpen,
      ...(clock === undefined ? {} : { clock }),
      ...(tls === undefined ? {} : { tls: { ca: tls.ca } }),
    };
    const opening = ByteSocket.connect(options, nearCalls);
  });
  const far = await accepted;
  const serverClosed = once(server, "close");
  server.close();
  return { near, nearCalls, far, farCalls, serverClosed };
}

/** Writes text and sends it at once. */
export function send(socket: ByteSocket, text: string): void {
  socket.out.writeLatin1(text);
  socket.out.flush();
}
