/**
 * The events that the owner of a socket receives. If a callback throws, that is the owner's fault: this connection is reset,
 * and `onClose` follows.
 */
export interface SocketHandler {
  /** Bytes `[start, end)` arrived. They are valid only during the call: copy what has to stay. Changing them is allowed. */
  onBytes(buffer: Buffer, start: number, end: number): void;
  /** The peer won't send any more. */
  onEnd(): void;
  /** The outbox was congested and is empty again. */
  onDrain(): void;
  /** The socket is closed, because of `error` if there was one. The last call, exactly once. */
  onClose(error: Error | undefined): void;
}
