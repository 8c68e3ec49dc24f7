// Bytes that are kept to see whether the next ones are the same. Compares four at a time: for the few hundred bytes of a
// head, a call into native code costs twice as much (measured).

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
    const length = this.#length;
    if (end - start !== length) return false;
    if (source !== this.#source) {
      this.#source = source;
      this.#sourceWords = wordsOf(source);
    }
    const words = this.#words;
    const sourceWords = this.#sourceWords;
    let at = 0;
    for (; at <= length - 4; at += 4) {
      if (words.getInt32(at) !== sourceWords.getInt32(start + at)) return false;
    }
    for (; at < length; at++) {
      if (words.getInt8(at) !== sourceWords.getInt8(start + at)) return false;
    }
    return true;
  }
}

function wordsOf(buffer: Buffer): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
