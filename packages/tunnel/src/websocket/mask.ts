// RFC 6455 section 5.3: XOR of a payload with a four-byte key, in place. Uses the native `bufferutil` for long runs if it is
// installed, otherwise 64-bit words.

import { randomFillSync } from "node:crypto";

interface BufferUtil {
  unmask(buffer: Buffer, mask: Buffer): void;
}

/** From this length on, a call into native code is cheaper than the loop. */
const NATIVE_FROM_BYTES = 128;
/** From this length on, whole words are worth their setup. */
const WORDS_FROM_BYTES = 64;

const native = loadBufferUtil();
const rotated = Buffer.alloc(4);

function loadBufferUtil(): BufferUtil | undefined {
  if (process.env["WS_NO_BUFFER_UTIL"]) return undefined;
  try {
    // Not an import: bundlers would find it, and fail where it isn't installed.
    const { createRequire } = process.getBuiltinModule("node:module");
    return createRequire(import.meta.url)("bufferutil") as BufferUtil;
  } catch {
    return undefined;
  }
}

/**
 * XORs `buffer[start, end)` with a key, given as a big-endian number, beginning with the key's byte `phase & 3`. The same call
 * masks and unmasks.
 */
export function applyMask(buffer: Buffer, start: number, end: number, key: number, phase: number): void {
  if (key === 0) return;
  const length = end - start;
  if (length >= NATIVE_FROM_BYTES && native !== undefined) {
    rotated.writeInt32BE(rotate(key, phase) | 0, 0);
    native.unmask(buffer.subarray(start, end), rotated);
  } else if (length >= WORDS_FROM_BYTES) {
    maskWords(buffer, start, end, key, phase);
  } else {
    maskBytes(buffer, start, end, key, phase);
  }
}

function rotate(key: number, phase: number): number {
  const bits = (phase & 3) * 8;
  return bits === 0 ? key : (key << bits) | (key >>> (32 - bits));
}

function maskBytes(buffer: Buffer, start: number, end: number, key: number, phase: number): void {
  for (let i = start, p = phase; i < end; i++, p++) {
    buffer[i] = (buffer[i] as number) ^ ((key >>> (24 - (p & 3) * 8)) & 0xff);
  }
}

const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** The portable implementation for long runs: unaligned ends byte by byte, the rest as 64-bit words. */
export function maskWords(buffer: Buffer, start: number, end: number, key: number, phase: number): void {
  const misaligned = (buffer.byteOffset + start) & 7;
  const body = misaligned === 0 ? start : Math.min(end, start + 8 - misaligned);
  maskBytes(buffer, start, body, key, phase);
  const words = (end - body) >>> 3;
  if (words > 0) {
    const turned = rotate(key, phase + body - start) >>> 0;
    const word = littleEndian ? swap32(turned) : turned;
    const long = (BigInt(word) << 32n) | BigInt(word);
    const view = new BigUint64Array(buffer.buffer, buffer.byteOffset + body, words);
    for (let i = 0; i < words; i++) view[i] = (view[i] as bigint) ^ long;
  }
  const tail = body + words * 8;
  maskBytes(buffer, tail, end, key, phase + tail - start);
}

function swap32(value: number): number {
  return (
    (((value & 0xff) << 24) |
      ((value & 0xff00) << 8) |
      ((value >>> 8) & 0xff00) |
      ((value >>> 24) & 0xff)) >>>
    0
  );
}

const keyPool = Buffer.allocUnsafeSlow(8 * 1024);
let nextKey = keyPool.length;

/** A new key from the system's cryptographic random source, as a big-endian number; drawn in batches (14 ns each). */
export function randomMaskKey(): number {
  if (nextKey === keyPool.length) {
    randomFillSync(keyPool);
    nextKey = 0;
  }
  const key = keyPool.readInt32BE(nextKey);
  nextKey += 4;
  return key;
}
