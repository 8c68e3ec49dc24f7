// Bytes that are kept to see whether the next ones are the same. Compares sixteen at a time: for the few hundred bytes of a
// head, a call into native code costs twice as much, and so does a loop of four (measured).

export class RememberedBytes {
  readonly #bytes: Buffer;
  readonly #words: DataView;
  #length = 0;
  // Sources are the few buffers that sockets read into, so the last one's view mostly serves again.
  #source: Buffer;
  #sourceWords: DataView;

  /** @param maxBytes more bytes than that are not remembered */
  constructor(maxBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(maxBytes);
    this.#words = wordsOf(this.#bytes);
    this.#source = this.#bytes;
    this.#sourceWords = this.#words;
  }

  /** Remembers `source[start, end)`; false, and nothing is remembered, if that is too much. */
  set(source: Buffer, start: number, end: number): boolean {
    const fits = end - start <= this.#bytes.length;
    this.#length = fits ? end - start : 0;
    if (fits) source.copy(this.#bytes, 0, start, end);
    return fits;
  }

  /** Whether `source[start, end)`, which isn't empty, is what is remembered. */
  equal(source: Buffer, start: number, end: number): boolean {
    return this.equalAround(source, start, end, end, end);
  }

  /** Whether it is, but for the bytes of `source[gapStart, gapEnd)`, which may be any. */
  equalAround(source: Buffer, start: number, end: number, gapStart: number, gapEnd: number): boolean {
    if (end - start !== this.#length) return false;
    if (source !== this.#source) {
      this.#source = source;
      this.#sourceWords = wordsOf(source);
    }
    return this.#same(start, 0, gapStart - start) && this.#same(start, gapEnd - start, end - start);
  }

  /** Compares from one place to another one with the last source, which begins at `start`. */
  #same(start: number, from: number, to: number): boolean {
    const words = this.#words;
    const sourceWords = this.#sourceWords;
    let at = from;
    for (; at <= to - 16; at += 16) {
      const there = start + at;
      const different =
        (words.getInt32(at) ^ sourceWords.getInt32(there)) |
        (words.getInt32(at + 4) ^ sourceWords.getInt32(there + 4)) |
        (words.getInt32(at + 8) ^ sourceWords.getInt32(there + 8)) |
        (words.getInt32(at + 12) ^ sourceWords.getInt32(there + 12));
      if (different !== 0) return false;
    }
    for (; at <= to - 4; at += 4) {
      if (words.getInt32(at) !== sourceWords.getInt32(start + at)) return false;
    }
    for (; at < to; at++) {
      if (words.getInt8(at) !== sourceWords.getInt8(start + at)) return false;
    }
    return true;
  }
}

function wordsOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
