// Secret keys of a cluster: 32 bytes each. A message names the key that it is sealed by; what seals it is derived from that
// for each life of a node, so that no two of them ever use the same key and nonce.

import { type KeyObject, createSecretKey, hkdfSync } from "node:crypto";

/** Length of a secret, and of the key of a life. */
export const KEY_BYTES = 32;
/** Length of the name of a secret on the wire. */
export const KEY_ID_BYTES = 4;

const LIFE_INFO = "piko gossip 1";
const ID_INFO = "piko gossip 1 key id";

/** One of the cluster's secrets. */
export interface GossipKey {
  readonly secret: Buffer;
  /** Names it on the wire, as a number. Two clusters' keys have the same name once in four billion. */
  readonly id: number;
}

/**
 * Reads a key as configuration has it: 32 bytes in base64, with or without its padding.
 *
 * @throws RangeError that doesn't quote it.
 */
export function parseGossipKey(text: string): GossipKey {
  const trimmed = text.trim();
  const secret = Buffer.from(trimmed, "base64");
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(trimmed) || secret.length !== KEY_BYTES)
    throw new RangeError(`must be a key: ${KEY_BYTES} bytes in base64`);
  return createGossipKey(secret);
}

/** A key of 32 bytes. */
export function createGossipKey(secret: Buffer): GossipKey {
  const id = Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), ID_INFO, KEY_ID_BYTES));
  return { secret, id: id.readUInt32BE(0) };
}

/** The key that one life of a node seals by: HKDF-SHA-256 of a secret, salted with the life's id. */
export function deriveLifeKey(key: GossipKey, lifeId: Buffer, clusterName: string): KeyObject {
  const derived = hkdfSync("sha256", key.secret, lifeId, LIFE_INFO + clusterName, KEY_BYTES);
  return createSecretKey(Buffer.from(derived));
}
