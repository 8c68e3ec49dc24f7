// The request on its way to a stream. Until the first byte of the response, what was sent is kept (up to a limit), so
// that the request can move to another upstream when its stream is lost.

import type { RequestHead } from "../../http/head.js";
import {
  type RequestRewrite,
  requestHeadCapacity,
  writeRequestHead,
} from "../../http/h1/rewrite-request-head.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import { StreamSender } from "../../net/stream-sender.js";
import type { UpstreamStream } from "./upstream-stream.js";

/** Memory that stays with an idle connection, so that small requests allocate none. */
const KEPT_BYTES = 2_048;

export class RequestUpload {
  readonly #budget: ByteBudget;
  readonly #maxKept: number;
  readonly #sender: StreamSender;
  readonly #sent: ByteStore;
  #keeping = false;

  /**
   * `budget`: counts what is held; when it is used up, only small requests are kept for another try. `maxKept`: most bytes
   * of a request, its head included, that are.
   */
  constructor(budget: ByteBudget, maxKept: number) {
    this.#budget = budget;
    this.#maxKept = maxKept;
    this.#sender = new StreamSender(budget);
    this.#sent = new ByteStore(budget);
  }

  /** Bytes wait for room in the stream. */
  get blocked(): boolean {
    return this.#sender.blocked;
  }

  /** Everything that was sent is still at hand. */
  get replayable(): boolean {
    return this.#keeping;
  }

  /** Starts on a request. */
  begin(): void {
    this.#keeping = true;
  }

  /** Adds the request's head, which `replay` sends. */
  addHead(head: RequestHead, rewrite: RequestRewrite): void {
    const sent = this.#sent;
    sent.reserve(requestHeadCapacity(head, rewrite));
    sent.end = writeRequestHead(head, sent.buffer, sent.end, rewrite);
  }

  /** Sends bytes, or without a stream keeps them for one. Returns how many the stream took. */
  send(stream: UpstreamStream | undefined, buffer: Buffer, start: number, end: number): number {
    if (this.#keeping) {
      const limit = this.#budget.exhausted ? KEPT_BYTES : this.#maxKept;
      if (stream === undefined || this.#sent.length + end - start <= limit) {
        this.#sent.append(buffer, start, end);
      } else {
        this.forget();
      }
    }
    return stream === undefined ? 0 : this.#sender.send(stream, buffer, start, end);
  }

  /** Sends all that was sent so far on another stream. */
  replay(stream: UpstreamStream): void {
    this.#sender.clear();
    this.#sender.send(stream, this.#sent.buffer, this.#sent.start, this.#sent.end);
  }

  /** The stream has room again. */
  resume(stream: UpstreamStream): void {
    this.#sender.resume(stream);
  }

  /** There will be no other try: the response has begun. */
  forget(): void {
    this.#keeping = false;
    this.#sent.rewind(KEPT_BYTES);
  }

  /** The request is over. */
  clear(): void {
    this.#sender.clear();
    if (this.#keeping) this.forget();
  }

  /** The connection is over. */
  release(): void {
    this.#sent.clear();
  }
}
