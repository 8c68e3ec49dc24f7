// Reading into memory that all plain TCP sockets share. Node has that for connections that it opens itself (`onread`); for
// accepted ones there is no public call.

import { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { giveBack } from "./read-memory.js";
import { readBuffer } from "./turn-length.js";

/** There is shared memory to read into. */
export const SHARED: boolean = readBuffer("long", 0) !== undefined;

/** As Node takes it, with what its types don't know: a function that has no other buffer may say so. */
export interface OnRead {
  buffer(): Buffer | undefined;
  callback(count: number, buffer: Uint8Array): boolean;
}

/**
 * Moves an accepted socket, which has to be paused, to a new Socket object that reads into the shared memory
 * (feature-checked). TLS sockets, and those that bytes were read of and put back, stay what they are, and read by `data`
 * events: `shared` is false then.
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
  // The shell that is left must not own the handle, and the server must forget it: it would never see its end.
  (accepted as unknown as { _handle: null })._handle = null;
  accepted.destroy();
  return { socket, shared: true };
}

/** Reads by `data` events. As with shared memory, what outlives `onChunk` has to be copied. */
export function readChunks(socket: Socket, onChunk: (chunk: Buffer) => void): void {
  socket.on("data", (chunk: Buffer) => {
    onChunk(chunk);
    giveBack(chunk);
  });
}
