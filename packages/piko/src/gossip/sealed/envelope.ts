// The envelope around a sealed message. Everything before the ciphertext is authenticated with it:
//
//   magic (3) | kind and version (1) | key id (4) | life id (16) | time in ms (6) | counter (6) | ciphertext | tag (16)
//
// The nonce is time and counter. The key belongs to this life id alone, and the counter increases with each message.

import { type KeyObject, createCipheriv, createDecipheriv } from "node:crypto";

/** First bytes of everything that is sealed. No plain message or answer begins like this: C1 isn't valid MessagePack. */
export const MAGIC: Buffer = Buffer.from("c1706b", "hex");
/** Kind of content, in the upper half of the envelope's fourth byte; the lower half is the version. */
export const KIND_PACKET = 0x01;
export const KIND_RECORD = 0x11;

export const LIFE_ID_BYTES = 16;
export const HEADER_BYTES = 36;
const TAG_BYTES = 16;
/** Size of an empty envelope, in bytes. */
export const ENVELOPE_BYTES: number = HEADER_BYTES + TAG_BYTES;

const KEY_ID_AT = 4;
const LIFE_ID_AT = 8;
const NONCE_AT = 24;
const COUNTER_AT = 30;
const ALGORITHM = "aes-256-gcm";
const OPTIONS = { authTagLength: TAG_BYTES } as const;

/** Identifies a message: its life, time and counter. No two messages of a cluster have the same id. */
export interface MessageId {
  readonly lifeId: Buffer;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  /** Starts at 1 and increases by one with each message of a life. */
  readonly counter: number;
}

/** Everything before the ciphertext. */
export interface EnvelopeHeader extends MessageId {
  readonly kind: number;
  readonly keyId: number;
}

/**
 * Seals a text into a new buffer, after the caller's bytes `before`, which are authenticated with the header. `binding` is
 * authenticated, too, but not sent.
 */
export function sealEnvelope(
  header: EnvelopeHeader,
  key: KeyObject,
  text: Buffer,
  before: Buffer = NONE,
  binding: Buffer = NONE,
): Buffer {
  const at = before.length;
  const sealed = Buffer.allocUnsafe(at + ENVELOPE_BYTES + text.length);
  before.copy(sealed, 0);
  MAGIC.copy(sealed, at);
  sealed[at + 3] = header.kind;
  sealed.writeUInt32BE(header.keyId, at + KEY_ID_AT);
  header.lifeId.copy(sealed, at + LIFE_ID_AT);
  sealed.writeUIntBE(header.timeMs, at + NONCE_AT, 6);
  sealed.writeUIntBE(header.counter, at + COUNTER_AT, 6);
  const textAt = at + HEADER_BYTES;
  const cipher = createCipheriv(ALGORITHM, key, sealed.subarray(at + NONCE_AT, textAt), OPTIONS);
  cipher.setAAD(authenticated(sealed.subarray(0, textAt), binding));
  cipher.update(text).copy(sealed, textAt);
  cipher.final();
  cipher.getAuthTag().copy(sealed, textAt + text.length);
  return sealed;
}

/** Reads the header of an envelope; undefined if the bytes don't begin an envelope of this kind. */
export function readHeader(envelope: Buffer, kind: number): EnvelopeHeader | undefined {
  if (envelope.length < ENVELOPE_BYTES || !isSealed(envelope) || envelope[3] !== kind) return undefined;
  return {
    kind,
    keyId: envelope.readUInt32BE(KEY_ID_AT),
    lifeId: envelope.subarray(LIFE_ID_AT, NONCE_AT),
    timeMs: envelope.readUIntBE(NONCE_AT, 6),
    counter: envelope.readUIntBE(COUNTER_AT, 6),
  };
}

/** Decrypts the text of an envelope, which is after `before` bytes in the buffer; undefined if its tag doesn't verify. */
export function openEnvelope(
  bytes: Buffer,
  key: KeyObject,
  before = 0,
  binding: Buffer = NONE,
): Buffer | undefined {
  const textAt = before + HEADER_BYTES;
  const tagAt = bytes.length - TAG_BYTES;
  const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(before + NONCE_AT, textAt), OPTIONS);
  decipher.setAAD(authenticated(bytes.subarray(0, textAt), binding));
  decipher.setAuthTag(bytes.subarray(tagAt));
  const text = decipher.update(bytes.subarray(textAt, tagAt));
  try {
    decipher.final();
    return text;
  } catch {
    return undefined;
  }
}

/** Whether bytes begin like a sealed message of any kind and version. */
export function isSealed(bytes: Buffer): boolean {
  return bytes[0] === MAGIC[0] && bytes[1] === MAGIC[1] && bytes[2] === MAGIC[2];
}

const NONE = Buffer.alloc(0);

function authenticated(bytes: Buffer, binding: Buffer): Buffer {
  return binding.length === 0 ? bytes : Buffer.concat([bytes, binding]);
}
