// Secret keys of a cluster: 32 bytes each. A message names its key; the actual encryption key is derived from it for each
// life of a node, so that no two lives ever use the same key and nonce.

import { type KeyObject, createSecretKey, hkdfSync } from "node:crypto";

/** Length of the key of a life. */
const KEY_BYTES = 32;
/** Length of the name of a secret on the wire. */
const KEY_ID_BYTES = 4;

const LIFE_INFO = "piko gossip 1";
const ID_INFO = "piko gossip 1 key id";

/** One of the cluster's secrets. */
export interface GossipKey {
  readonly secret: Buffer;
  /** Names it on the wire, as a number. Two clusters' keys have the same name once in four billion. */
  readonly id: number;
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
