// The keys of a node: the first one encrypts, and all of them decrypt. They can be replaced while the node runs.

import type { KeyObject } from "node:crypto";
import { type GossipKey, deriveLifeKey } from "./gossip-key.js";

/** The current keys. */
export class KeyRing {
  /** Part of key derivation: nodes of clusters with other names can't open each other's messages, even with the same keys. */
  readonly #clusterName: string;
  #keys: readonly GossipKey[] = [];

  constructor(clusterName: string, keys: readonly GossipKey[]) {
    this.#clusterName = clusterName;
    this.#keys = keys;
  }

  /** The key that seals; undefined if there are no keys. */
  get first(): GossipKey | undefined {
    return this.#keys[0];
  }

  /** Replaces the keys; returns whether they changed. A key that is kept remains the same object. */
  replace(keys: readonly GossipKey[]): boolean {
    const before = this.#keys;
    this.#keys = keys.map((key) => before.find(({ secret }) => secret.equals(key.secret)) ?? key);
    return this.#keys.length !== before.length || this.#keys.some((key, index) => key !== before[index]);
  }

  find(id: number): GossipKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  derive(key: GossipKey, lifeId: Buffer): KeyObject {
    return deriveLifeKey(key, lifeId, this.#clusterName);
  }
}
