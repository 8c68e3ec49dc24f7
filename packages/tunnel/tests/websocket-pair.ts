// WebSocket connections over loopback: with two real ends, or with one whose peer the test plays byte by byte.

import { FakeClock } from "@piko/testkit";
import { connectLoopback, type Loopback, send } from "./loopback.js";
import type { TunnelError } from "../src/errors.js";
import { WebSocketConnection, type WebSocketHandler } from "../src/websocket/connection.js";

export class Recorder implements WebSocketHandler {
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

/** Both ends use WebSocket: `near` is the client. */
export async function pair(): Promise<{
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

/** Only the accepted end uses WebSocket; the test writes the other end's bytes. */
export async function raw(
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

export const text = (connection: WebSocketConnection, bytes: string): void => {
  const buffer = Buffer.from(bytes);
  connection.write(buffer, 0, buffer.length);
};
