// Memory for outgoing bytes. A connection takes a slab when it has something to send and gives it back when the kernel
// has taken all of it, so that idle connections hold none and a steady state allocates nothing.

/** Bytes of one slab: what one read brings, with room for the frame headers around it, so that it leaves in one write. */
export const SLAB_BYTES: number = 64 * 1024 + 256;

/** Slabs kept for reuse; 4 MiB at most. */
const MAX_POOLED_SLABS = 64;

const pool: Buffer[] = [];

/** A buffer of SLAB_BYTES with unspecified contents. */
export function takeSlab(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
}

/** Gives a slab back. Nothing may still point into it. */
export function giveSlab(slab: Buffer): void {
  if (pool.length < MAX_POOLED_SLABS) pool.push(slab);
}
