// Memory for outgoing bytes. A connection takes a slab when it has something to send and returns it when the kernel has
// accepted all of it, so that idle connections hold none and a steady state allocates nothing. Slabs come in four sizes:
// hundreds of connections may have something to send in one turn, and most of them little.

/** Room for frame headers around the bytes of one read, so that they leave in one write. */
const HEADER_BYTES = 256;
/**
 * Size of the largest slab: a long read, which is also a stream's first window. With a quarter of that, a download took a third
 * more CPU time: half of its cost is per call, in the kernel as in Node.
 */
export const SLAB_BYTES: number = 256 * 1024 + HEADER_BYTES;

/** Free slabs of one size. */
class SlabPool {
  readonly bytes: number;
  readonly #slabs: Buffer[] = [];
  readonly #max: number;

  constructor(bytes: number, max: number) {
    this.bytes = bytes;
    this.#max = max;
  }

  take(): Buffer {
    return this.#slabs.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  give(slab: Buffer): void {
    if (this.#slabs.length < this.#max) this.#slabs.push(slab);
  }
}

// Together they keep at most 32 MiB.
const small = new SlabPool(4 * 1024, 1_024);
const medium = new SlabPool(16 * 1024, 512);
const large = new SlabPool(64 * 1024 + HEADER_BYTES, 64);
const largest = new SlabPool(SLAB_BYTES, 64);

/** Returns a buffer with unspecified contents, of at least `bytes`. One larger than SLAB_BYTES is used once. */
export function takeSlab(bytes: number): Buffer {
  if (bytes <= small.bytes) return small.take();
  if (bytes <= medium.bytes) return medium.take();
  if (bytes <= large.bytes) return large.take();
  return bytes <= largest.bytes ? largest.take() : Buffer.allocUnsafeSlow(bytes);
}

/** Returns a slab to its pool. Nothing may still refer to it. */
export function giveSlab(slab: Buffer): void {
  if (slab.length === small.bytes) small.give(slab);
  else if (slab.length === medium.bytes) medium.give(slab);
  else if (slab.length === large.bytes) large.give(slab);
  else if (slab.length === largest.bytes) largest.give(slab);
}
