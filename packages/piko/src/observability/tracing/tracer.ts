// What the traces of a node, or of an agent's listener, have in common: the sampling decision, ids, and where spans go.

import type { AttributeText } from "./span.js";

/** Accepts spans that have ended, each as the text of a JSON object. */
export interface SpanSink {
  add(span: string): void;
}

export interface TracerOptions {
  /** The fraction of the traces begun here that is recorded, between 0 and 1. */
  readonly sample: number;
  /** Whether the sampled flag of any client decides whether its trace is recorded. */
  readonly trustsClients: boolean;
  /** Attributes of the upstream, for the span of a request that is sent on; undefined if each upstream has its own. */
  readonly upstream?: AttributeText | undefined;
  readonly sink: SpanSink;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly randomBytes: (count: number) => Uint8Array;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** Asking the system for each id, or converting its digits one by one, would cost more than the rest of a request's trace. */
const POOL_BYTES = 4_096;

export class Tracer {
  readonly trustsClients: boolean;
  readonly upstream: AttributeText | undefined;
  readonly sink: SpanSink;
  readonly wallNow: () => number;
  readonly #sample: number;
  readonly #random: () => number;
  readonly #randomBytes: (count: number) => Uint8Array;
  /** Random digits, in hexadecimal. */
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

  /** Writes an id of `end - start` digits. (The chance that it is all zeros is negligible: even the shortest has 2^64 values.) */
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
