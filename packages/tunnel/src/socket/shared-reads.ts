// Reads into memory that all plain TCP sockets share. Node supports that for connections that it opens itself (`onread`); for
// accepted ones there is no public API.

import { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { giveBack } from "./read-memory.js";
import { readBuffer } from "./turn-length.js";

/** Whether there is shared memory to read into. */
export const SHARED: boolean = readBuffer("long", 0) !== undefined;

/** Node's option, with more than its types declare: a function without another buffer may return undefined. */
export interface OnRead {
  buffer(): Buffer | undefined;
  callback(count: number, buffer: Uint8Array): boolean;
}

/**
 * Moves an accepted socket, which has to be paused, to a new Socket object that reads into the shared memory (feature-checked). TLS
 * sockets, and those with bytes that were read and put back, stay as they are, and read with `data` events: then `shared` is false.
 */
export function adoptSocket(accepted: Socket, onread: OnRead): { socket: Socket; shared: boolean } {
  const handle = (accepted as unknown as { _handle?: { useUserBuffer?: unknown } | null })._handle;
  const readFrom = accepted instanceof TLSSocket || accepted.readableLength > 0;
  if (!SHARED || readFrom || typeof handle?.useUserBuffer !== "function") {
    accepted.allowHalfOpen = true;
    accepted.resume();
    return { socket: accepted, shared: false };
  }
  const socket = new Socket({ handle, allowHalfOpen: true, onread } as object);
  // The remaining shell must not own the handle, and the server must forget it: it would never see its end.
  (accepted as unknown as { _handle: null })._handle = null;
  accepted.destroy();
  return { socket, shared: true };
}

/** Reads with `data` events. As with shared memory, what outlives `onChunk` has to be copied. */
export function readChunks(socket: Socket, onChunk: (chunk: Buffer) => void): void {
  socket.on("data", (chunk: Buffer) => {
    onChunk(chunk);
    giveBack(chunk);
  });
}
