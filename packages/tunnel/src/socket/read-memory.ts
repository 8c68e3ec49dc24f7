// Memory of reads that isn't shared. What has come on an accepted TLS connection, Node hands over in fresh memory, up to 16 KiB
// at a time. Until the collector finds that, it counts as heap, and makes the collector go through all of the heap again and
// again: a third of a server's CPU time where bodies of some size came by TLS. So it is given back at once.

import { MessageChannel } from "node:worker_threads";

/** Less is left to the collector: to give it back takes longer than it saves. */
const LEAST_BYTES = 4 * 1024;

/** Gives back the memory of a chunk that has been read: it is empty from then on, and so are all views of it. */
export function giveBack(chunk: Buffer): void {
  const { buffer, byteLength } = chunk;
  // Memory that others have a part in isn't the chunk's to give.
  if (byteLength >= LEAST_BYTES && buffer.byteLength === byteLength) drop(buffer as ArrayBuffer);
}

const drop: (memory: ArrayBuffer) => void = dropper();

/** By ES2024, from Node.js 22 on. Before, by a port without another end: what it is sent is its own, and nobody gets it. */
function dropper(): (memory: ArrayBuffer) => void {
  const { transfer } = ArrayBuffer.prototype as { transfer?: (byteLength: number) => ArrayBuffer };
  if (transfer !== undefined) return (memory) => void transfer.call(memory, 0);
  const { port1, port2 } = new MessageChannel();
  port2.close();
  return (memory) => port1.postMessage(undefined, [memory]);
}
