// How much a socket reads in one event-loop turn: much if bytes are cheap, little if they are many small messages. So the work
// that one connection causes in a turn is bounded, and not only its bytes.

const KIB = 1024;

/**
 * Maximum bytes of one callback. Long reads are cheaper per byte; short ones are for peers that aren't trusted with so much
 * memory, where excess bytes have to be kept until their turn comes.
 */
export type ReadLength = "short" | "long";

/** Bytes of one read: libuv's own choice, and a stream's whole window. */
const READ_BYTES: Readonly<Record<ReadLength, number>> = { short: 64 * KIB, long: 256 * KIB };
const MIN_BYTES = 16 * KIB;
/**
 * The longest turn has this many reads: in a row they move bulk as cheaply as if there were no limit; with turns of one read,
 * an upload took 40 % more CPU. Lengths grow in steps of this factor, and a turn is at most one step longer than the last, so
 * only lasting bulk gets long turns.
 */
const STEP = 4;
/** Messages that are enough for one turn, at well below a microsecond each. */
const MANY_MESSAGES = 4_096;

/** Bytes of a socket's first turn. */
export function firstTurnBytes(length: ReadLength): number {
  return READ_BYTES[length];
}

/** Bytes of the turn after one with `bytes` and this number of messages (0: not counted, or a message continues). */
export function nextTurnBytes(length: ReadLength, bytes: number, messages: number): number {
  const most = STEP * Math.min(READ_BYTES[length], bytes);
  const fitting = messages === 0 ? most : Math.min(most, (bytes / messages) * MANY_MESSAGES);
  let turn = MIN_BYTES;
  while (turn * STEP <= fitting) turn *= STEP;
  return turn;
}

// One buffer serves every socket: libuv asks for memory, reads, and calls back before it turns to the next socket. Windows
// starts reads before there is data, so there Node gives each socket its own memory.
const long = process.platform === "win32" ? undefined : Buffer.allocUnsafeSlow(READ_BYTES.long);
const short = long?.subarray(0, READ_BYTES.short);
const smallest = long?.subarray(0, MIN_BYTES);

/** The shared memory for the reads of a turn; undefined if there is none. */
export function readBuffer(length: ReadLength, turnBytes: number): Buffer | undefined {
  const bytes = Math.min(turnBytes, READ_BYTES[length]);
  if (bytes >= READ_BYTES.long) return long;
  return bytes >= READ_BYTES.short ? short : smallest;
}
