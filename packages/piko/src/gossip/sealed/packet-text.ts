// The plaintext of an encrypted datagram: which of the receiver's datagrams it answers, if any, then the message. If an
// attacker sends a copy of an answer to another node, or later, it doesn't count as an answer there.

import { LIFE_ID_BYTES, ENVELOPE_BYTES } from "./envelope.js";

const COUNTER_BYTES = 6;
const REFERENCE_BYTES = LIFE_ID_BYTES + COUNTER_BYTES;
const NO_ANSWER = 0;
const ANSWER = 1;

/** Maximum bytes by which a sealed datagram is longer than its message. */
export const PACKET_OVERHEAD_BYTES: number = ENVELOPE_BYTES + 1 + REFERENCE_BYTES;

/** A message, and the question that it answers. */
export interface PacketText {
  readonly message: Buffer;
  /** Life of the node that asked; undefined if this isn't an answer. */
  readonly lifeId: Buffer | undefined;
  readonly counter: number;
}

/** Creates the reference by which answers identify a message. */
export function createReference(lifeId: Buffer, counter: number): Buffer {
  const reference = Buffer.allocUnsafe(REFERENCE_BYTES);
  lifeId.copy(reference);
  reference.writeUIntBE(counter, LIFE_ID_BYTES, COUNTER_BYTES);
  return reference;
}

/** Builds the plaintext; `answers` is the reference of the question. */
export function writePacketText(message: Buffer, answers: Buffer | undefined): Buffer {
  const head = Buffer.from([answers === undefined ? NO_ANSWER : ANSWER]);
  return Buffer.concat(answers === undefined ? [head, message] : [head, answers, message]);
}

/** Parses a plaintext; undefined if it is invalid. */
export function readPacketText(text: Buffer): PacketText | undefined {
  if (text[0] === NO_ANSWER) return { message: text.subarray(1), lifeId: undefined, counter: 0 };
  if (text[0] !== ANSWER || text.length < 1 + REFERENCE_BYTES) return undefined;
  return {
    message: text.subarray(1 + REFERENCE_BYTES),
    lifeId: text.subarray(1, 1 + LIFE_ID_BYTES),
    counter: text.readUIntBE(1 + LIFE_ID_BYTES, COUNTER_BYTES),
  };
}
