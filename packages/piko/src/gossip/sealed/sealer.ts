// Seals the messages of this process: one life, whose counter gives each message a number of its own. Knows when which was
// sent, since an answer to a packet of long ago says nothing of now.

import type { KeyObject } from "node:crypto";
import { type MessageId, sealEnvelope } from "./envelope.js";
import type { GossipKey } from "./gossip-key.js";
import type { KeyRing } from "./key-ring.js";

/** Messages whose time is remembered: more than a busy node sends while it waits for an answer, which is 10 s at most. */
const REMEMBERED = 16_384;

export interface SealerOptions {
  readonly keys: KeyRing;
  /** 16 random bytes, never used before. */
  readonly lifeId: Buffer;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** Milliseconds that only go forward. */
  readonly now: () => number;
}

/** The life of this process. */
export class Sealer {
  readonly lifeId: Buffer;
  readonly #keys: KeyRing;
  readonly #wallNow: () => number;
  readonly #now: () => number;
  #key: { readonly of: GossipKey; readonly derived: KeyObject } | undefined;
  #counter = 0;
  /** By the counter's remainder; 0 for what was no packet. */
  readonly #sentAt = new Float64Array(REMEMBERED);

  constructor({ keys, lifeId, wallNow, now }: SealerOptions) {
    this.#keys = keys;
    this.lifeId = lifeId;
    this.#wallNow = wallNow;
    this.#now = now;
  }

  /** A number for the next message. */
  next(): MessageId {
    this.#counter += 1;
    this.#sentAt[this.#counter % REMEMBERED] = this.#now();
    return { lifeId: this.lifeId, timeMs: Math.max(0, Math.floor(this.#wallNow())), counter: this.#counter };
  }

  /** Seals a text under a number of {@link next}, which is used once. Throws where there are no keys. */
  seal(id: MessageId, kind: number, text: Buffer, before?: Buffer, binding?: Buffer): Buffer {
    const key = this.#keys.first;
    if (key === undefined) throw new Error("no key to seal gossip with");
    if (this.#key?.of !== key) this.#key = { of: key, derived: this.#keys.derive(key, this.lifeId) };
    return sealEnvelope({ ...id, kind, keyId: key.id }, this.#key.derived, text, before, binding);
  }

  /** When the message of a counter was sealed; undefined if there was none, or it is long ago. */
  sentAt(counter: number): number | undefined {
    if (counter < 1 || counter > this.#counter || this.#counter - counter >= REMEMBERED) return undefined;
    return this.#sentAt[counter % REMEMBERED];
  }
}
