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
  /** Numbers in [0, 1), which decide what is recorded. */
  readonly random: () => number;
  /** Numbers in [0, 1) to make ids from. */
  readonly idRandom: () => number;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** The two digits of each byte as a 16-bit number: the first digit is its low byte. */
const DIGITS: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  const text = byte.toString(16).padStart(2, "0");
  return text.charCodeAt(0) | (text.charCodeAt(1) << 8);
});
const DIGITS_PER_NUMBER = 8;

export class Tracer {
  readonly trustsClients: boolean;
  readonly upstream: AttributeText | undefined;
  readonly sink: SpanSink;
  readonly wallNow: () => number;
  readonly #sample: number;
  readonly #random: () => number;
  readonly #idRandom: () => number;

  constructor(options: TracerOptions) {
    this.trustsClients = options.trustsClients;
    this.upstream = options.upstream;
    this.sink = options.sink;
    this.wallNow = options.wallNow;
    this.#sample = options.sample;
    this.#random = options.random;
    this.#idRandom = options.idRandom;
  }

  /** Whether a trace that begins here is recorded. */
  choose(): boolean {
    return this.#sample >= 1 || this.#random() < this.#sample;
  }

  /**
   * Writes an id of `end - start` digits, a multiple of eight. Ids aren't secrets, so the numbers needn't be unpredictable: those of the
   * system cost several times as much. (The chance that an id is all zeros is negligible: even the shortest has 2^64 values.)
   */
  makeId(to: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at += DIGITS_PER_NUMBER) {
      const number = (this.#idRandom() * 2 ** 32) >>> 0;
      writeByte(to, at, number >>> 24);
      writeByte(to, at + 2, (number >>> 16) & 0xff);
      writeByte(to, at + 4, (number >>> 8) & 0xff);
      writeByte(to, at + 6, number & 0xff);
    }
  }
}

function writeByte(to: Uint8Array, at: number, byte: number): void {
  const digits = DIGITS[byte] as number;
  to[at] = digits & 0xff;
  to[at + 1] = digits >>> 8;
}
