// `traceparent` (W3C Trace Context level 1, section 3.2): parsed from the bytes of a head, and written into 55 bytes for the next
// hop.

/** `00-`, 32 digits of the trace, `-`, 16 of the span, `-`, 2 of flags. */
export const TRACE_PARENT_BYTES = 55;
export const TRACE_ID_START = 3;
export const TRACE_ID_MIDDLE = 19;
export const TRACE_ID_END = 35;
export const SPAN_ID_START = 36;
export const SPAN_ID_END = 52;
const FLAGS_START = 53;
const FLAG_SAMPLED = 1;
/** From level 2: the trace's id was generated at random. Passed on unchanged. */
const FLAG_RANDOM = 2;

/** What {@link readTraceParent} returns if the bytes aren't a traceparent. */
export const NO_TRACE_PARENT = -1;

const DASH = 0x2d;
const ZERO = 0x30;
const NO_DIGIT = 0x80;

/** For each byte, its value as a hexadecimal digit in lower case, or {@link NO_DIGIT}. */
const VALUES: Uint8Array = new Uint8Array(256).fill(NO_DIGIT);
for (const [value, byte] of Buffer.from("0123456789abcdef", "latin1").entries()) VALUES[byte] = value;

/** The value of two digits; negative unless both are digits. */
function pair(bytes: Uint8Array, at: number): number {
  const high = VALUES[bytes[at] as number] as number;
  const low = VALUES[bytes[at + 1] as number] as number;
  return high + low >= NO_DIGIT ? -1 : high * 16 + low;
}

/**
 * The flags of the traceparent in `bytes` from `start` to `end`, or {@link NO_TRACE_PARENT}. Copies the trace's id to `own`, which has
 * the form of a traceparent; an invalid one may leave anything there. If its version is later than ours, only the part that both have in
 * common is used; what follows it, and unknown flags, are ignored.
 */
export function readTraceParent(bytes: Uint8Array, start: number, end: number, own: Uint8Array): number {
  const length = end - start;
  if (length < TRACE_PARENT_BYTES) return NO_TRACE_PARENT;
  const version = pair(bytes, start);
  if (version < 0 || version === 0xff) return NO_TRACE_PARENT;
  if (length > TRACE_PARENT_BYTES && (version === 0 || bytes[start + TRACE_PARENT_BYTES] !== DASH)) {
    return NO_TRACE_PARENT;
  }
  if (bytes[start + 2] !== DASH || bytes[start + TRACE_ID_END] !== DASH) return NO_TRACE_PARENT;
  if (bytes[start + SPAN_ID_END] !== DASH) return NO_TRACE_PARENT;
  // An id has digits only, at least one of them not 0. There are no branches per digit, because this runs for every traced request.
  let traceId = 0;
  for (let at = TRACE_ID_START; at < TRACE_ID_END; at++) {
    const byte = bytes[start + at] as number;
    own[at] = byte;
    traceId |= VALUES[byte] as number;
  }
  let spanId = 0;
  for (let at = SPAN_ID_START; at < SPAN_ID_END; at++) {
    spanId |= VALUES[bytes[start + at] as number] as number;
  }
  if (traceId === 0 || spanId === 0 || (traceId | spanId) >= NO_DIGIT) return NO_TRACE_PARENT;
  return pair(bytes, start + FLAGS_START);
}

/** Whether the sender of these flags records the trace. */
export function isSampled(flags: number): boolean {
  return (flags & FLAG_SAMPLED) !== 0;
}

/** The bytes of a traceparent, to be completed with ids and {@link writeFlags}. */
export function createTraceParent(): Buffer {
  return Buffer.from(`00-${"0".repeat(32)}-${"0".repeat(16)}-00`, "latin1");
}

/** @param before the flags that the trace arrived with */
export function writeFlags(traceParent: Uint8Array, sampled: boolean, before: number): void {
  traceParent[FLAGS_START + 1] = ZERO + (before & FLAG_RANDOM) + (sampled ? FLAG_SAMPLED : 0);
}

/** Whether the traceparent that begins at `start`, with these flags, is equivalent to ours for a trace that isn't recorded. */
export function passesOn(bytes: Uint8Array, start: number, end: number, flags: number): boolean {
  const isOurs = end - start === TRACE_PARENT_BYTES && bytes[start] === ZERO && bytes[start + 1] === ZERO;
  return isOurs && (flags & ~FLAG_RANDOM) === 0;
}
