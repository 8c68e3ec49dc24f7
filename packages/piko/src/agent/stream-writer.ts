// What an exchange sends on its stream: a response head and the first bytes of its body leave as one frame, and what the
// stream has no room for stays here.

import type { YamuxStream } from "@piko/tunnel";
import type { ResponseHead } from "../http/head.js";
import {
  type ResponseRewrite,
  responseHeadCapacity,
  writeResponseHead,
} from "../http/h1/rewrite-response-head.js";
import { copyBytes } from "../http/h1/copy-bytes.js";
import type { Scratch } from "../net/scratch.js";
import { StreamSender } from "../net/stream-sender.js";

export class StreamWriter {
  #stream: YamuxStream | undefined;
  readonly #scratch: Scratch;
  /** Bytes in the scratch memory; none between two callbacks, because others use it too. */
  #gathered: number;
  /** Keeps what the stream had no room for. */
  readonly #sender: StreamSender;

  constructor(scratch: Scratch) {
    this.#stream = undefined;
    this.#scratch = scratch;
    this.#gathered = 0;
    this.#sender = new StreamSender();
  }

  /** What follows goes to this stream. */
  begin(stream: YamuxStream): void {
    this.#stream = stream;
  }

  /** Nobody takes anything any more. */
  over(): void {
    this.#stream = undefined;
    this.#gathered = 0;
    this.#sender.clear();
  }

  /** The stream has not taken everything: stop the source. */
  get blocked(): boolean {
    return this.#sender.blocked;
  }

  /** Adds a head. `flush` has to follow in the same callback. */
  addHead(head: ResponseHead, rewrite: ResponseRewrite): void {
    this.flush();
    const out = this.#scratch.take(responseHeadCapacity(head, rewrite));
    this.#gathered = writeResponseHead(head, out, 0, rewrite);
  }

  /** Adds bytes: few are gathered with what waits, many are sent after it. `flush` has to follow in the same callback. */
  write(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    const gathered = this.#gathered;
    const out = this.#scratch.take(0);
    if (end - start <= GATHERED_BYTES && gathered + end - start <= out.length) {
      this.#gathered = copyBytes(buffer, start, end, out, gathered);
      return;
    }
    this.#gathered = 0;
    this.#sender.sendBoth(stream, out, gathered, buffer, start, end);
  }

  /** Sends what was added. */
  flush(): void {
    const count = this.#gathered;
    if (count === 0) return;
    this.#gathered = 0;
    this.send(this.#scratch.take(0), 0, count);
  }

  /** Sends bytes, or keeps them after those that wait. */
  send(buffer: Buffer, start: number, end: number): void {
    if (this.#stream !== undefined) this.#sender.send(this.#stream, buffer, start, end);
  }

  /** The stream has room again. Returns whether everything is sent. */
  resume(): boolean {
    if (this.#stream !== undefined) this.#sender.resume(this.#stream);
    return !this.blocked;
  }

  /** Forgets a head that was added and not sent. */
  discard(): void {
    this.#gathered = 0;
  }
}

/** Up to this many bytes, a copy is cheaper than a separate piece. */
const GATHERED_BYTES = 1_024;
