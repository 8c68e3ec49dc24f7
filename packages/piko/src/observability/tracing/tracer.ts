// What the traces of a node, or of an agent's listener, have in common: which requests are sampled, ids, and where spans go.

import type { AttributeText } from "./span.js";

/** Takes spans that are over, each the text of a JSON object. */
export interface SpanSink {
  add(span: string): void;
}

export interface TracerOptions {
  /** Part of the traces begun here that is recorded, between 0 and 1. */
  readonly sample: number;
  /** Whether traces are recorded that a client says it records, whoever it is. */
  readonly trustsClients: boolean;
  /** Of the span of a request that is sent on; undefined where each upstream says who it is. */
  readonly upstream?: AttributeText | undefined;
  readonly sink: SpanSink;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly randomBytes: (count: number) => Uint8Array;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** Asking the system for each id, or writing its digits one by one, would cost more than the rest of a request's trace. */
const POOL_BYTES = 4_096;

export class Tracer {
  readonly trustsClients: boolean;
  readonly upstream: AttributeText | undefined;
  readonly sink: SpanSink;
  readonly wallNow: () => number;
  readonly #sample: number;
  readonly #random: () => number;
  readonly #randomBytes: (count: number) => Uint8Array;
  /** Digits at random. */
  #pool: Uint8Array = new Uint8Array(0);
  #used = 0;

  constructor(options: TracerOptions) {
    this.trustsClients = options.trustsClients;
    this.upstream = options.upstream;
    this.sink = options.sink;
    this.wallNow = options.wallNow;
    this.#sample = options.sample;
    this.#random = options.random;
    this.#randomBytes = options.randomBytes;
  }

  /** Whether a trace that begins here is recorded. */
  choose(): boolean {
    return this.#sample >= 1 || this.#random() < this.#sample;
  }

  /** Writes an id of so many digits. (By chance none is all zeros: there are 2^64 of the shortest.) */
  makeId(to: Uint8Array, start: number, end: number): void {
    if (this.#used + end - start > this.#pool.length) {
      this.#pool = Buffer.from(Buffer.from(this.#randomBytes(POOL_BYTES)).toString("hex"), "latin1");
      this.#used = 0;
    }
    const pool = this.#pool;
    let from = this.#used;
    for (let at = start; at < end; at++) to[at] = pool[from++] as number;
    this.#used = from;
  }
}
