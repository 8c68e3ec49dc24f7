// A client's socket in memory: its kernel accepts everything that is sent, or nothing until `drain`.

import { type ByteSocket, Outbox, type SocketHandler } from "@piko/tunnel";
import type { Socket } from "node:net";

export class MemorySocket {
  handler: SocketHandler | undefined;
  messages = 0;
  paused = false;
  ended = false;
  /** Whether the kernel accepts nothing. */
  stalled = false;
  /** `end`, `close`, `destroy`, `reset`, in order. */
  readonly calls: string[] = [];
  readonly out: Outbox;
  /** Control frames are written to it. */
  readonly socket: Socket;
  #writable = true;
  #waiting = 0;
  #taken = "";

  constructor() {
    const write = (bytes: Uint8Array): boolean => {
      this.#taken += Buffer.from(bytes).toString("latin1");
      if (!this.stalled) return true;
      this.#waiting += bytes.length;
      return false;
    };
    const waiting = (): number => this.#waiting;
    const writable = (): boolean => this.#writable;
    const socket = {
      get writable(): boolean {
        return writable();
      },
      get writableLength(): number {
        return waiting();
      },
      write,
    };
    this.socket = socket as unknown as Socket;
    this.out = new Outbox(this.socket, true);
  }

  get unsentBytes(): number {
    return this.#waiting;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  end(): void {
    this.calls.push("end");
    this.out.flush();
    this.#writable = false;
  }

  close(): void {
    this.calls.push("close");
    this.out.flush();
    this.#writable = false;
  }

  destroy(): void {
    this.calls.push("destroy");
    this.out.close();
    this.#writable = false;
  }

  reset(): void {
    this.calls.push("reset");
    this.out.flush();
    this.out.close();
    this.#writable = false;
  }

  // What the client does.

  send(text: string, ...cuts: number[]): void {
    let at = 0;
    for (const cut of [...cuts, text.length]) {
      const bytes = Buffer.from(`.${text.slice(at, cut)}.`, "latin1");
      if (bytes.length > 2) this.handler?.onBytes(bytes, 1, bytes.length - 1);
      bytes.fill(0x58);
      at = cut;
    }
  }

  /** What was sent to the client since the last `take`. */
  take(): string {
    this.out.flush();
    const taken = this.#taken;
    this.#taken = "";
    return taken;
  }

  drain(): void {
    this.stalled = false;
    this.#waiting = 0;
    this.out.onDrain();
    this.handler?.onDrain();
  }

  asSocket(): ByteSocket {
    return this as unknown as ByteSocket;
  }
}
