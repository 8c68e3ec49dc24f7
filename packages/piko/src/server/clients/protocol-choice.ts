// A connection without TLS whose first bytes decide its protocol: HTTP/2 begins with a preface (RFC 9113 section 3.3), and
// everything else is read as HTTP/1.1.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { PREFACE } from "../../http/h2/frame.js";
import type { DeadlineSweep, Expiring } from "../../net/deadline-sweep.js";
import type { Client, ClientConnection } from "./client.js";

export interface ProtocolChoiceOptions {
  readonly socket: ByteSocket;
  readonly client: Client;
  readonly sweep: DeadlineSweep;
  /** Deadline for the client's first bytes. */
  readonly deadlineMs: number;
  /** The protocol is known: must give `socket` another handler, which then gets the bytes received so far. */
  readonly onChosen: (choice: ProtocolChoice, http2: boolean) => void;
  readonly onGone: (choice: ProtocolChoice) => void;
}

export class ProtocolChoice implements ClientConnection, SocketHandler, Expiring {
  readonly socket: ByteSocket;
  readonly client: Client;
  readonly #options: ProtocolChoiceOptions;
  /** Bytes of the preface that have been received. */
  #matched: number;

  constructor(options: ProtocolChoiceOptions) {
    this.socket = options.socket;
    this.client = options.client;
    this.#options = options;
    this.#matched = 0;
    options.socket.handler = this;
    options.sweep.add(this);
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    const matched = this.#matched;
    let at = start;
    while (at < end && this.#matched < PREFACE.length && buffer[at] === PREFACE[this.#matched]) {
      this.#matched++;
      at++;
    }
    const http2 = this.#matched === PREFACE.length;
    if (at === end && !http2) return;
    const { onChosen, sweep } = this.#options;
    sweep.remove(this);
    onChosen(this, http2);
    const { handler } = this.socket;
    if (matched > 0) handler.onBytes(Buffer.from(PREFACE.subarray(0, matched)), 0, matched);
    // If the first bytes are invalid, the handler has already ended the connection and ignores these.
    handler.onBytes(buffer, start, end);
  }

  onEnd(): void {
    this.socket.close();
  }

  onDrain(): void {}

  onClose(): void {
    const { onGone, sweep } = this.#options;
    sweep.remove(this);
    onGone(this);
  }

  sweep(nowMs: number): void {
    if (nowMs >= this.#options.deadlineMs) this.socket.destroy();
  }

  onFault(): void {
    this.socket.reset();
  }

  stop(): void {
    this.socket.close();
  }

  cut(): void {
    this.socket.reset();
  }

  retire(): void {
    this.stop();
  }
}
