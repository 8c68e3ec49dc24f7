// Memory for outgoing bytes. A connection takes a slab when it has something to send and gives it back when the kernel
// has taken all of it, so that idle connections hold none and a steady state allocates nothing. Slabs come in three sizes:
// hundreds of connections may have something to send in one turn, and most of them little.

/** Bytes of the largest slab: what one read brings, with room for the frame headers around it, so that it leaves in one write. */
export const SLAB_BYTES: number = 64 * 1024 + 256;

/** Slabs of one size that wait for their next use. */
class SlabPool {
  readonly bytes: number;
  readonly #slabs: Buffer[] = [];
  readonly #most: number;

  constructor(bytes: number, most: number) {
    this.bytes = bytes;
    this.#most = most;
  }

  take(): Buffer {
    return this.#slabs.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  give(slab: Buffer): void {
    if (this.#slabs.length < this.#most) this.#slabs.push(slab);
  }
}

// Together they keep 20 MiB at most.
const small = new SlabPool(4 * 1024, 1_024);
const medium = new SlabPool(16 * 1024, 512);
const large = new SlabPool(SLAB_BYTES, 128);

/** A buffer with unspecified contents, of at least `bytes`. One of more than SLAB_BYTES is used once. */
export function takeSlab(bytes: number = SLAB_BYTES): Buffer {
  if (bytes <= small.bytes) return small.take();
  if (bytes <= medium.bytes) return medium.take();
  return bytes <= large.bytes ? large.take() : Buffer.allocUnsafeSlow(bytes);
}

/** Gives a slab back. Nothing may still point into it. */
export function giveSlab(slab: Buffer): void {
  if (slab.length === small.bytes) small.give(slab);
  else if (slab.length === medium.bytes) medium.give(slab);
  else if (slab.length === large.bytes) large.give(slab);
}
