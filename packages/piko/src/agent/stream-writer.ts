// What an exchange sends on its stream: a response head and the first bytes of its body are sent as one frame, and bytes
// that the stream has no room for are queued here.

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
  /** Bytes in the scratch memory. Always 0 between two callbacks, because others use that memory too. */
  #gathered: number;
  /** Queues the bytes that the stream had no room for. */
  readonly #sender: StreamSender;

  constructor(scratch: Scratch) {
    this.#stream = undefined;
    this.#scratch = scratch;
    this.#gathered = 0;
    this.#sender = new StreamSender();
  }

  /** Begins a new stream: everything that follows is sent on it. */
  begin(stream: YamuxStream): void {
    this.#stream = stream;
  }

  /** The stream accepts nothing any more. */
  over(): void {
    this.#stream = undefined;
    this.#gathered = 0;
    this.#sender.clear();
  }

  /** The stream hasn't accepted everything: the source must stop. */
  get blocked(): boolean {
    return this.#sender.blocked;
  }

  /** Adds a head. `flush` must follow in the same callback. */
  addHead(head: ResponseHead, rewrite: ResponseRewrite): void {
    this.flush();
    const out = this.#scratch.take(responseHeadCapacity(head, rewrite));
    this.#gathered = writeResponseHead(head, out, 0, rewrite);
  }

  /** Adds bytes: few are collected with the others, many are sent after them. `flush` must follow in the same callback. */
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

  /** Sends the collected bytes. */
  flush(): void {
    const count = this.#gathered;
    if (count === 0) return;
    this.#gathered = 0;
    this.send(this.#scratch.take(0), 0, count);
  }

  /** Sends bytes; queues those that the stream doesn't accept now. */
  send(buffer: Buffer, start: number, end: number): void {
    if (this.#stream !== undefined) this.#sender.send(this.#stream, buffer, start, end);
  }

  /** The stream has room again. Returns whether everything was sent. */
  resume(): boolean {
    if (this.#stream !== undefined) this.#sender.resume(this.#stream);
    return !this.blocked;
  }

  /** Discards a head that was added and not sent. */
  discard(): void {
    this.#gathered = 0;
  }
}

/** Up to this many bytes, a copy is cheaper than a separate piece. */
const GATHERED_BYTES = 1_024;
