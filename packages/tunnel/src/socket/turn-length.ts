// How much a socket reads in one event-loop turn: much where bytes are cheap, little where they are many small messages,
// so that what one connection makes of a turn is bounded by the work it causes and not by its bytes alone.

const KIB = 1024;

/**
 * How much one callback brings at most. Long reads are cheaper by the byte; short ones are for peers that are not to be
 * trusted with so much memory, where what is over has to be kept until its turn comes.
 */
export type ReadLength = "short" | "long";

/** Bytes of one read: libuv's own choice, and a stream's whole window. */
const READ_BYTES: Readonly<Record<ReadLength, number>> = { short: 64 * KIB, long: 256 * KIB };
const LEAST_BYTES = 16 * KIB;
/**
 * The longest turn is so many reads: in a row they move bulk as cheaply as if there were no end to them, in turns of one
 * an upload took 40 % more CPU. All lengths are steps of this size, and no turn is more than one step above the last, so
 * that bulk has to stay bulk.
 */
const STEP = 4;
/** Messages that are enough for one turn, at well below a microsecond each. */
const MANY_MESSAGES = 4_096;

/** Bytes of a socket's first turn. */
export function firstTurnBytes(length: ReadLength): number {
  return READ_BYTES[length];
}

/** Bytes of the turn behind one that had `bytes`, with so many messages in them (0: nobody counts, or one goes on). */
export function nextTurnBytes(length: ReadLength, bytes: number, messages: number): number {
  const most = STEP * Math.min(READ_BYTES[length], bytes);
  const fitting = messages === 0 ? most : Math.min(most, (bytes / messages) * MANY_MESSAGES);
  let turn = LEAST_BYTES;
  while (turn * STEP <= fitting) turn *= STEP;
  return turn;
}

// One buffer serves every socket: libuv asks for memory, reads, and calls back before it looks at the next socket.
// Windows starts reads ahead of the data, so there each socket has its own memory from Node.
const long = process.platform === "win32" ? undefined : Buffer.allocUnsafeSlow(READ_BYTES.long);
const short = long?.subarray(0, READ_BYTES.short);
const least = long?.subarray(0, LEAST_BYTES);

/** The shared memory for the reads of a turn; undefined where there is none. */
export function readBuffer(length: ReadLength, turnBytes: number): Buffer | undefined {
  const bytes = Math.min(turnBytes, READ_BYTES[length]);
  if (bytes >= READ_BYTES.long) return long;
  return bytes >= READ_BYTES.short ? short : least;
}
