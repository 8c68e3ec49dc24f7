// How much a socket reads in one event-loop turn: much where bytes are cheap, little where they are many small messages,
// so that what one connection makes of a turn is bounded by the work it causes and not by its bytes alone.

const LEAST_BYTES = 16 * 1024;
/** libuv's own choice. */
const SHORT_BYTES = 64 * 1024;
const LONG_BYTES = 256 * 1024;

/**
 * The most that one turn reads. Long reads are cheaper by the byte; short ones are for peers that are not to be trusted
 * with so much memory, where what is over has to be kept until its turn comes.
 */
export type ReadLength = "short" | "long";

/**
 * Messages of a turn that are worth a shorter one, at well below a microsecond each. Frames of 64 bytes and more are read
 * at full length, so that requests and answers never meet this; floods of empty frames are.
 */
const MANY_MESSAGES = 4_096;

/** Bytes of the longest turn. */
export function mostReadBytes(length: ReadLength): number {
  return length === "short" ? SHORT_BYTES : LONG_BYTES;
}

/** Bytes of the next turn of a socket whose last one had `bytes` in so many messages (0: nobody counts). */
export function nextReadBytes(most: number, bytes: number, messages: number): number {
  const fitting = messages === 0 ? most : (bytes / messages) * MANY_MESSAGES;
  if (fitting >= most) return most;
  return fitting >= SHORT_BYTES ? SHORT_BYTES : LEAST_BYTES;
}

// One buffer serves every socket: libuv asks for memory, reads, and calls back before it looks at the next socket.
// Windows starts reads ahead of the data, so there each socket has its own memory from Node.
const sharedBuffer = process.platform === "win32" ? undefined : Buffer.allocUnsafeSlow(LONG_BYTES);
const least = sharedBuffer?.subarray(0, LEAST_BYTES);
const short = sharedBuffer?.subarray(0, SHORT_BYTES);

/** The shared memory for a read of one of the lengths above; undefined where there is none. */
export function sharedReadBuffer(bytes: number): Buffer | undefined {
  if (bytes === LONG_BYTES) return sharedBuffer;
  return bytes === SHORT_BYTES ? short : least;
}
