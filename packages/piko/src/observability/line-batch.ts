// Log lines that wait to be written, as bytes in one buffer. As one string they would have to be joined, measured and
// encoded in the end, which was a twentieth of the server's CPU time per request.

/** Memory that is kept for the next batch. */
const KEPT_BYTES = 128 * 1024;

export class LineBatch {
  /** Bytes that wait. */
  length = 0;
  #bytes: Buffer = NOTHING;
  #spare: Buffer | undefined = undefined;

  /** Adds text, as UTF-8. */
  addText(text: string): void {
    // A UTF-16 unit becomes three bytes at most.
    const bytes = this.#reserve(text.length * 3);
    this.length += bytes.write(text, this.length, "utf8");
  }

  /** Adds text whose characters are bytes. */
  addLatin1(text: string): void {
    const bytes = this.#reserve(text.length);
    this.length += bytes.write(text, this.length, "latin1");
  }

  /** Takes out all that waits; `giveBack` follows when it is written. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.length);
    this.#bytes = this.#spare ?? NOTHING;
    this.#spare = undefined;
    this.length = 0;
    return taken;
  }

  /** The memory of a batch that was taken out is free again. */
  giveBack(taken: Buffer): void {
    const { buffer } = taken;
    if (buffer.byteLength <= KEPT_BYTES) this.#spare = Buffer.from(buffer);
  }

  #reserve(room: number): Buffer {
    const needed = this.length + room;
    if (needed <= this.#bytes.length) return this.#bytes;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2, KEPT_BYTES));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
    return larger;
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
