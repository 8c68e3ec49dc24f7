// Keeps a request until its response begins, so that it can be retried when its upstream is lost, or sent later when it
// has to wait for one: the original head, its body, its trailers.

import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import type { RequestHead } from "../head.js";
import type { Trailers } from "./client-side.js";
import type { UpstreamCall } from "./upstream-call.js";

/** Parses a head again that was parsed before, from its kept bytes. */
export type HeadReader = (buffer: Buffer, start: number, end: number) => RequestHead;

/** Memory that stays with an idle exchange, so that small requests allocate none. */
const KEPT_BYTES = 2_048;

export class RequestReplay {
  readonly #budget: ByteBudget;
  readonly #maxKept: number;
  readonly #readHead: HeadReader;
  readonly #bytes: ByteStore;
  /** Bytes of the head; the body follows it. */
  #headBytes = 0;
  #trailers: Trailers | undefined = undefined;
  #keeping = false;

  /**
   * `budget`: counts what is held; when it is used up, only small requests are kept for another try. `maxKept`: most bytes
   * of a request, its head included, that are.
   */
  constructor(budget: ByteBudget, maxKept: number, readHead: HeadReader) {
    this.#budget = budget;
    this.#maxKept = maxKept;
    this.#readHead = readHead;
    this.#bytes = new ByteStore(budget);
  }

  /** All of the request that has arrived is still available. */
  get whole(): boolean {
    return this.#keeping;
  }

  /** A request begins. */
  begin(head: RequestHead): void {
    this.#bytes.append(head.buffer, head.start, head.end);
    this.#headBytes = this.#bytes.length;
    this.#keeping = true;
  }

  /** Adds a part of the body. `waiting`: there is no upstream yet, so that it has to be kept. */
  add(buffer: Buffer, start: number, end: number, waiting: boolean): void {
    if (!this.#keeping) return;
    const limit = this.#budget.exhausted ? KEPT_BYTES : this.#maxKept;
    if (waiting || this.#bytes.length + end - start <= limit) this.#bytes.append(buffer, start, end);
    else this.forget();
  }

  /** The request is whole. */
  end(trailers: Trailers | undefined): void {
    if (this.#keeping && trailers !== undefined) this.#trailers = Buffer.from(trailers);
  }

  /** The head, valid until the next one is parsed. */
  head(): RequestHead {
    const { buffer, start } = this.#bytes;
    return this.#readHead(buffer, start, start + this.#headBytes);
  }

  /** Sends what has come of the body, and its end if it is `ended`. */
  sendBody(call: UpstreamCall, ended: boolean): void {
    const { buffer, start, end } = this.#bytes;
    const from = start + this.#headBytes;
    if (end > from) call.write(buffer, from, end);
    if (ended) call.end(this.#trailers);
  }

  /** There will be no other try: the response has begun, or the request is over. */
  forget(): void {
    if (!this.#keeping) return;
    this.#keeping = false;
    this.#trailers = undefined;
    this.#bytes.rewind(KEPT_BYTES);
  }

  /** The memory that was kept for the next request goes, too. */
  release(): void {
    this.#keeping = false;
    this.#bytes.clear();
  }
}
