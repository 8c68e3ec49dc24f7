// How many bytes a peer may still send, on a stream or a connection (RFC 9113 section 5.2). The peer is granted more when
// half of the window has been consumed.

export class ReceiveWindow {
  readonly #size: number;
  /** Bytes that may come. */
  #left: number;
  /** Consumed bytes that the peer hasn't been granted again. */
  #untold: number;

  constructor(size: number) {
    this.#size = size;
    this.#left = size;
    this.#untold = 0;
  }

  /** So many bytes have come. False if they are more than may. */
  take(count: number): boolean {
    if (count > this.#left) return false;
    this.#left -= count;
    return true;
  }

  /** This many bytes have been consumed. Returns what the peer should be granted now, or 0. */
  give(count: number): number {
    this.#untold += count;
    if (this.#untold * 2 < this.#size) return 0;
    const told = this.#untold;
    this.#left += told;
    this.#untold = 0;
    return told;
  }
}
