// Sends bytes on a yamux stream and keeps those that the stream has no room for. The caller pauses its source while the stream is
// blocked, so at most one read's worth is kept.

import type { ByteBudget } from "./byte-budget.js";
import { ByteStore } from "./byte-store.js";

/** The stream, or a substitute: accepts as many bytes as it has room for. */
export interface ByteTaker {
  write(buffer: Buffer, start: number, end: number): number;
}

/** Accepts two pieces as one: `head` up to `headEnd`, followed by `[start, end)` of `buffer`. */
export interface PairTaker extends ByteTaker {
  writeBoth(head: Buffer, headEnd: number, buffer: Buffer, start: number, end: number): number;
}

export class StreamSender {
  readonly #rest: ByteStore;

  /** If there is a budget, kept bytes are counted there, and `clear` must be called in the end. */
  constructor(budget?: ByteBudget) {
    this.#rest = new ByteStore(budget, true);
  }

  /** Whether bytes are kept. The stream's `onWritable` follows, in which the caller calls `resume`. */
  get blocked(): boolean {
    return this.#rest.length > 0;
  }

  /** Sends bytes after those that are kept; the caller may then reuse the buffer. Returns how many the stream accepted. */
  send(stream: ByteTaker, buffer: Buffer, start: number, end: number): number {
    const taken = this.#rest.length > 0 ? 0 : stream.write(buffer, start, end);
    if (taken < end - start) this.#rest.append(buffer, start + taken, end);
    return taken;
  }

  /** The same for two pieces, the first of which may be empty. They leave as one frame if possible. */
  sendBoth(
    stream: PairTaker,
    head: Buffer,
    headEnd: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (headEnd === 0 || this.blocked) {
      if (headEnd > 0) this.send(stream, head, 0, headEnd);
      this.send(stream, buffer, start, end);
      return;
    }
    const taken = stream.writeBoth(head, headEnd, buffer, start, end);
    if (taken < headEnd) this.#rest.append(head, taken, headEnd);
    this.#rest.append(buffer, start + Math.max(0, taken - headEnd), end);
  }

  /** Sends kept bytes, now that the stream has room again. */
  resume(stream: ByteTaker): void {
    const rest = this.#rest;
    if (rest.length > 0) rest.consumeTo(rest.start + stream.write(rest.buffer, rest.start, rest.end));
  }

  /** Discards kept bytes. */
  clear(): void {
    if (this.#rest.length > 0) this.#rest.clear();
  }
}
