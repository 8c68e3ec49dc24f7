// Bytes that are kept to find out whether the next ones are the same. Compares sixteen at a time: for the few hundred bytes of a
// head, a native call costs twice as much, and so does a loop over four at a time (measured).

export class RememberedBytes {
  readonly #bytes: Buffer;
  readonly #words: DataView;
  #length = 0;
  // Sources are the few buffers that sockets read into, so the last one's view can usually be reused.
  #source: Buffer;
  #sourceWords: DataView;

  /** @param maxBytes longer sequences are not remembered */
  constructor(maxBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(maxBytes);
    this.#words = wordsOf(this.#bytes);
    this.#source = this.#bytes;
    this.#sourceWords = this.#words;
  }

  /** Remembers `source[start, end)`. If that is too long, remembers nothing and returns false. */
  set(source: Buffer, start: number, end: number): boolean {
    const fits = end - start <= this.#bytes.length;
    this.#length = fits ? end - start : 0;
    if (fits) source.copy(this.#bytes, 0, start, end);
    return fits;
  }

  /** Whether `source[start, end)`, which must not be empty, equals the remembered bytes. */
  equal(source: Buffer, start: number, end: number): boolean {
    return this.equalAround(source, start, end, end, end);
  }

  /** Like `equal`, but ignores the bytes in `source[gapStart, gapEnd)`. */
  equalAround(source: Buffer, start: number, end: number, gapStart: number, gapEnd: number): boolean {
    if (end - start !== this.#length) return false;
    if (source !== this.#source) {
      this.#source = source;
      this.#sourceWords = wordsOf(source);
    }
    return this.#same(start, 0, gapStart - start) && this.#same(start, gapEnd - start, end - start);
  }

  /** Compares the bytes from offset `from` up to `to` with those of the last source, which begins at `start`. */
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
