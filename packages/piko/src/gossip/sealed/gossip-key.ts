// Secret keys of a cluster: 32 bytes each. A message carries the id of its key; the actual encryption key is derived from it
// for each life of a node, so that no two lives ever use the same key and nonce.

import { type KeyObject, createSecretKey, hkdfSync } from "node:crypto";

/** Length of a life's key, in bytes. */
const KEY_BYTES = 32;
/** Length of a secret's id on the wire, in bytes. */
const KEY_ID_BYTES = 4;

const LIFE_INFO = "piko gossip 1";
const ID_INFO = "piko gossip 1 key id";

/** One of the cluster's secrets. */
export interface GossipKey {
  readonly secret: Buffer;
  /** Identifies the key on the wire, as a number. The chance that the keys of two clusters have the same id is one in four billion. */
  readonly id: number;
}

/** Creates a key from 32 bytes. */
export function createGossipKey(secret: Buffer): GossipKey {
  const id = Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), ID_INFO, KEY_ID_BYTES));
  return { secret, id: id.readUInt32BE(0) };
}

/** Derives the key that one life of a node seals with: HKDF-SHA-256 of a secret, salted with the life's id. */
export function deriveLifeKey(key: GossipKey, lifeId: Buffer, clusterName: string): KeyObject {
  const derived = hkdfSync("sha256", key.secret, lifeId, LIFE_INFO + clusterName, KEY_BYTES);
  return createSecretKey(Buffer.from(derived));
}
