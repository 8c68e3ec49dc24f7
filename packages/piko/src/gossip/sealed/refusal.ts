// What a node sends over TCP if it can't send an encrypted answer, so that the operators of both nodes can see the cause.
// Anyone could have sent it, so it is logged and has no other effect.

import { GossipError } from "../wire/errors.js";
import type { DropReason } from "../protocol/drops.js";
import { MAGIC, isSealed } from "./envelope.js";

const REFUSAL = 0x31;
const REASONS = ["plain", "key", "replay", "malformed"] as const;
const TEXTS: Readonly<Record<(typeof REASONS)[number], string>> = {
  plain: "it accepts encrypted gossip only",
  key: "it doesn't have the key of this node's gossip",
  replay: "it has seen the request before",
  malformed: "it can't read the request; is its cluster.name another one?",
};
const BYTES = 5;

/** The bytes of a refusal. */
export function createRefusal(reason: DropReason): Buffer {
  const code = REASONS.findIndex((known) => known === reason);
  return Buffer.concat([MAGIC, Buffer.from([REFUSAL, code < 0 ? REASONS.length : code])]);
}

/** Throws if the bytes begin with a refusal; returns whether they may still become one. */
export function throwIfRefused(bytes: Buffer, end: number): boolean {
  if (end < MAGIC.length) return MAGIC.compare(bytes, 0, end, 0, end) === 0;
  if (!isSealed(bytes) || (end > MAGIC.length && bytes[MAGIC.length] !== REFUSAL)) return false;
  if (end < BYTES) return true;
  const reason = REASONS[bytes[BYTES - 1] ?? 0];
  const text = reason === undefined ? "for a reason that this node doesn't know" : TEXTS[reason];
  throw new GossipError("PIKO_GOSSIP_REFUSED", `refused by the other node: ${text}`);
}
