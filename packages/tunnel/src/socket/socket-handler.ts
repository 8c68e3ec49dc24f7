/**
 * What the owner of a socket is told. What throws is a fault of the owner's: it ends this connection, with a reset, and
 * `onClose` follows.
 */
export interface SocketHandler {
  /** Bytes `[start, end)` arrived. They are gone when this returns: copy what has to stay. Changing them is allowed. */
  onBytes(buffer: Buffer, start: number, end: number): void;
  /** The peer will send nothing more. */
  onEnd(): void;
  /** The outbox was congested and is empty again. */
  onDrain(): void;
  /** The socket is gone, for `error` if there was one. The last call, exactly once. */
  onClose(error: Error | undefined): void;
}
