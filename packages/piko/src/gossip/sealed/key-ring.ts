// The keys of a node: the first one encrypts, all of them decrypt. They can be replaced while the node runs.

import type { KeyObject } from "node:crypto";
import { type GossipKey, deriveLifeKey } from "./gossip-key.js";

/** The keys as they are now. */
export class KeyRing {
  /** Also derived from: nodes of clusters with other names can't open each other's messages, whatever keys they have. */
  readonly #clusterName: string;
  #keys: readonly GossipKey[] = [];

  constructor(clusterName: string, keys: readonly GossipKey[]) {
    this.#clusterName = clusterName;
    this.#keys = keys;
  }

  /** The key that seals; undefined without any. */
  get first(): GossipKey | undefined {
    return this.#keys[0];
  }

  /** Puts keys in the place of those that are there; whether they differ from them. A key that stays is the same object. */
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
