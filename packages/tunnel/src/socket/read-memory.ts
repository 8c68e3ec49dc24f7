// Frees the memory of reads that isn't shared. Node passes on what arrived on an accepted TLS connection in newly allocated
// memory, up to 16 KiB at a time. Until the garbage collector finds it, it counts towards the heap, and makes the collector run
// repeatedly: a third of a server's CPU time if larger bodies arrive over TLS. So it is freed at once.

import { MessageChannel } from "node:worker_threads";

/** Smaller chunks are left to the collector: freeing them takes longer than it saves. */
const MIN_BYTES = 4 * 1024;

/** Frees the memory of a chunk that has been read; the chunk and all views of its memory are empty afterwards. */
export function giveBack(chunk: Buffer): void {
  const { buffer, byteLength } = chunk;
  // Memory that is shared with others must not be freed.
  if (byteLength >= MIN_BYTES && buffer.byteLength === byteLength) drop(buffer as ArrayBuffer);
}

const drop: (memory: ArrayBuffer) => void = dropper();

/**
 * Uses `transfer` of ES2024, from Node.js 22 on. Before, uses a message port whose other end is closed: memory transferred to it is lost.
 */
function dropper(): (memory: ArrayBuffer) => void {
  const { transfer } = ArrayBuffer.prototype as { transfer?: (byteLength: number) => ArrayBuffer };
  if (transfer !== undefined) return (memory) => void transfer.call(memory, 0);
  const { port1, port2 } = new MessageChannel();
  port2.close();
  return (memory) => port1.postMessage(undefined, [memory]);
}
