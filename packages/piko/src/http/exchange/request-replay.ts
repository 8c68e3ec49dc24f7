// Keeps a request (its original head, its body, its trailers) until its response begins, so that it can be retried if its
// upstream is lost, or sent later if it has to wait for one.

import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import type { RequestHead } from "../head.js";
import type { Trailers } from "./client-side.js";
import type { UpstreamCall } from "./upstream-call.js";

/** Parses a head again, from its kept bytes. */
export type HeadReader = (buffer: Buffer, start: number, end: number) => RequestHead;

/** Memory that an idle exchange keeps, so that small requests allocate none. */
const KEPT_BYTES = 2_048;

export class RequestReplay {
  readonly #budget: ByteBudget;
  readonly #maxKept: number;
  readonly #readHead: HeadReader;
  readonly #bytes: ByteStore;
  /** Bytes of the head; the body follows it. */
  #headBytes = 0;
  #trailers: Trailers | undefined = undefined;
  #recording = false;

  /**
   * `budget`: counts the bytes held; when it is exhausted, only small requests are kept for a retry. `maxKept`: maximum
   * number of bytes of a request, including its head, that are kept.
   */
  constructor(budget: ByteBudget, maxKept: number, readHead: HeadReader) {
    this.#budget = budget;
    this.#maxKept = maxKept;
    this.#readHead = readHead;
    this.#bytes = new ByteStore(budget);
  }

  /** All of the request that has arrived is still available. */
  get whole(): boolean {
    return this.#recording;
  }

  /** A request begins. */
  begin(head: RequestHead): void {
    this.#bytes.append(head.buffer, head.start, head.end);
    this.#headBytes = this.#bytes.length;
    this.#recording = true;
  }

  /** Adds a part of the body. `waiting`: there is no upstream yet, so the part must be kept. */
  add(buffer: Buffer, start: number, end: number, waiting: boolean): void {
    if (!this.#recording) return;
    const limit = this.#budget.exhausted ? KEPT_BYTES : this.#maxKept;
    if (waiting || this.#bytes.length + end - start <= limit) this.#bytes.append(buffer, start, end);
    else this.forget();
  }

  /** The request is complete. */
  end(trailers: Trailers | undefined): void {
    if (this.#recording && trailers !== undefined) this.#trailers = Buffer.from(trailers);
  }

  /** The head, valid until the next one is parsed. */
  head(): RequestHead {
    const { buffer, start } = this.#bytes;
    return this.#readHead(buffer, start, start + this.#headBytes);
  }

  /** Sends the part of the body that has arrived, and its end if `ended`. */
  sendBody(call: UpstreamCall, ended: boolean): void {
    const { buffer, start, end } = this.#bytes;
    const from = start + this.#headBytes;
    if (end > from) call.write(buffer, from, end);
    if (ended) call.end(this.#trailers);
  }

  /** There won't be another attempt: the response has begun, or the request has ended. */
  forget(): void {
    if (!this.#recording) return;
    this.#recording = false;
    this.#trailers = undefined;
    this.#bytes.rewind(KEPT_BYTES);
  }

  /** Also releases the memory that is kept for the next request. */
  release(): void {
    this.#recording = false;
    this.#bytes.clear();
  }
}
