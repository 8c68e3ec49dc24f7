// Encrypts the messages of this process. The process is one life; its counter gives each message a unique number.

import type { KeyObject } from "node:crypto";
import { type MessageId, sealEnvelope } from "./envelope.js";
import type { GossipKey } from "./gossip-key.js";
import type { KeyRing } from "./key-ring.js";

export interface SealerOptions {
  readonly keys: KeyRing;
  /** 16 random bytes, never used before. */
  readonly lifeId: Buffer;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** The life of this process. */
export class Sealer {
  readonly lifeId: Buffer;
  readonly #keys: KeyRing;
  readonly #wallNow: () => number;
  #key: { readonly of: GossipKey; readonly derived: KeyObject } | undefined;
  #counter = 0;

  constructor({ keys, lifeId, wallNow }: SealerOptions) {
    this.#keys = keys;
    this.lifeId = lifeId;
    this.#wallNow = wallNow;
  }

  /** Returns the id of the next message. */
  next(): MessageId {
    this.#counter += 1;
    return { lifeId: this.lifeId, timeMs: Math.max(0, Math.floor(this.#wallNow())), counter: this.#counter };
  }

  /** Seals a text under an id from {@link next}, which must be used only once. Throws if there are no keys. */
  seal(id: MessageId, kind: number, text: Buffer, before?: Buffer, binding?: Buffer): Buffer {
    const key = this.#keys.first;
    if (key === undefined) throw new Error("no key to seal gossip with");
    if (this.#key?.of !== key) this.#key = { of: key, derived: this.#keys.derive(key, this.lifeId) };
    return sealEnvelope({ ...id, kind, keyId: key.id }, this.#key.derived, text, before, binding);
  }

  /** Whether this life has sent a message with this counter. */
  hasSent(counter: number): boolean {
    return counter >= 1 && counter <= this.#counter;
  }
}
