// Memory where a head is built before it is sent, within one callback; shared by all writers.

/** Enough for a response head with the first bytes of its body, so that both leave as one frame. */
const INITIAL_BYTES = 16 * 1024;

export class Scratch {
  #buffer: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);

  /** Memory of at least `bytes`; the same as last time if that is large enough. */
  take(bytes: number): Buffer {
    if (this.#buffer.length < bytes) this.#buffer = Buffer.allocUnsafeSlow(bytes);
    return this.#buffer;
  }
}
