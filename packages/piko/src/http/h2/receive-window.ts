// How many bytes a peer may still send, on a stream or a connection (RFC 9113 section 5.2). The peer is granted more when
// half of the window has been consumed.

export class ReceiveWindow {
  readonly #size: number;
  /** Bytes that the peer may still send. */
  #left: number;
  /** Consumed bytes that haven't been granted to the peer again. */
  #ungranted: number;

  constructor(size: number) {
    this.#size = size;
    this.#left = size;
    this.#ungranted = 0;
  }

  /** `count` bytes have arrived. False if they exceed the window. */
  take(count: number): boolean {
    if (count > this.#left) return false;
    this.#left -= count;
    return true;
  }

  /** `count` bytes have been consumed. Returns how many the peer should be granted now; may be 0. */
  give(count: number): number {
    this.#ungranted += count;
    if (this.#ungranted * 2 < this.#size) return 0;
    const granted = this.#ungranted;
    this.#left += granted;
    this.#ungranted = 0;
    return granted;
  }
}
