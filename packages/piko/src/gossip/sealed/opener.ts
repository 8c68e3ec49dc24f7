// Decrypts messages of members, each message once. A sender is remembered only after the tag of one of its messages has
// verified, so that no one without a key can fill this memory.

import type { KeyObject } from "node:crypto";
import type { Clock } from "@piko/tunnel";
import type { DropReason } from "../protocol/drops.js";
import { type EnvelopeHeader, KIND_PACKET, openEnvelope, readHeader } from "./envelope.js";
import type { GossipKey } from "./gossip-key.js";
import type { KeyRing } from "./key-ring.js";
import { ReplayWindow } from "./replay-window.js";

/** Maximum lives to remember. Only members can fill this; then messages of new lives are dropped until old ones are forgotten. */
const MAX_LIVES = 4_096;

/** A message that was opened, or why it was not. */
export type Opened =
  | { readonly ok: true; readonly header: EnvelopeHeader; readonly text: Buffer }
  | { readonly ok: false; readonly reason: Exclude<DropReason, "clock" | "address" | "plain"> }
  | {
      readonly ok: false;
      readonly reason: "clock";
      readonly header: EnvelopeHeader;
      /** The content of the message, which must not be used. */
      readonly text: Buffer;
      /** By how much the sender's clock is ahead of this node's. */
      readonly aheadMs: number;
    };

export interface OpenerOptions {
  readonly keys: KeyRing;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** Maximum difference between the clocks of two nodes, which also limits how old a message may be. */
  readonly maxClockSkewMs: number;
}

interface LifeKey {
  readonly of: GossipKey;
  readonly derived: KeyObject;
}

interface Life {
  readonly packets: ReplayWindow;
  /** For messages over TCP: they overtake packets that are queued in a socket, and must not make them look old. */
  readonly requests: ReplayWindow;
  key: LifeKey | undefined;
  seenAt: number;
}

/** Opens messages of any member. */
export class Opener {
  readonly #keys: KeyRing;
  readonly #clock: Clock;
  readonly #wallNow: () => number;
  readonly #maxClockSkewMs: number;
  /** By life id, in latin1. */
  readonly #lives = new Map<string, Life>();
  /** The key that was derived last. */
  #last: (LifeKey & { readonly name: string }) | undefined;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor({ keys, clock, wallNow, maxClockSkewMs }: OpenerOptions) {
    this.#keys = keys;
    this.#clock = clock;
    this.#wallNow = wallNow;
    this.#maxClockSkewMs = maxClockSkewMs;
  }

  /** Number of lives that are remembered. */
  get lives(): number {
    return this.#lives.size;
  }

  /** Opens a message, which is accepted once, and only while it is recent. The arguments are those of {@link authenticate}. */
  open(bytes: Buffer, kind: number, before?: number, binding?: Buffer): Opened {
    const opened = this.authenticate(bytes, kind, before, binding);
    return opened.ok ? this.admit(opened.header, opened.text) : opened;
  }

  /**
   * Opens a message without checking whether it was seen before: the caller knows that it is new, or calls {@link admit}. The
   * envelope is after `before` bytes.
   */
  authenticate(bytes: Buffer, kind: number, before = 0, binding?: Buffer): Opened {
    const header = readHeader(bytes.subarray(before), kind);
    if (header === undefined) return MALFORMED;
    const key = this.#keys.find(header.keyId);
    if (key === undefined) return WRONG_KEY;
    const text = openEnvelope(bytes, this.#keyOf(header.lifeId, key), before, binding);
    return text === undefined ? MALFORMED : { ok: true, header, text };
  }

  /** Accepts an authentic message if it was sent just now and not seen before. */
  admit(header: EnvelopeHeader, text: Buffer): Opened {
    const name = nameOf(header.lifeId);
    const life = this.#lives.get(name);
    // Checked before the time: an old copy says nothing about its sender's clock.
    if (life !== undefined && !windowOf(life, header).isNew(header.counter)) return REPLAY;
    const aheadMs = this.aheadMs(header);
    if (Math.abs(aheadMs) > this.#maxClockSkewMs)
      return { ok: false, reason: "clock", header, text, aheadMs };
    const known = life ?? this.#learn(name);
    if (known === undefined) return REPLAY;
    const key = this.#keys.find(header.keyId);
    if (key !== undefined && known.key?.of !== key)
      known.key = { of: key, derived: this.#keyOf(header.lifeId, key) };
    windowOf(known, header).add(header.counter);
    known.seenAt = this.#clock.now();
    return { ok: true, header, text };
  }

  /** By how much the clock of a message's sender is ahead of this node's. */
  aheadMs({ timeMs }: EnvelopeHeader): number {
    return timeMs - this.#wallNow();
  }

  /** Whether a difference between clocks is above the maximum. */
  isTooFar(aheadMs: number): boolean {
    return Math.abs(aheadMs) > this.#maxClockSkewMs;
  }

  #learn(name: string): Life | undefined {
    this.#sweep();
    if (this.#lives.size >= MAX_LIVES) return undefined;
    const [packets, requests] = [new ReplayWindow(), new ReplayWindow()];
    const life: Life = { packets, requests, key: undefined, seenAt: this.#clock.now() };
    this.#lives.set(name, life);
    return life;
  }

  #keyOf(lifeId: Buffer, key: GossipKey): KeyObject {
    const name = nameOf(lifeId);
    const known = this.#lives.get(name)?.key;
    if (known?.of === key) return known.derived;
    // A new life's first message may have several records, but the life is remembered only once the message was accepted.
    const last = this.#last;
    if (last?.name === name && last.of === key) return last.derived;
    this.#last = { name, of: key, derived: this.#keys.derive(key, lifeId) };
    return this.#last.derived;
  }

  /** Forgets lives whose messages, seen or not, are all too old to be accepted. */
  #sweep(): void {
    const now = this.#clock.now();
    if (now - this.#sweptAt < this.#maxClockSkewMs / 4) return;
    this.#sweptAt = now;
    for (const [name, { seenAt }] of this.#lives)
      if (now - seenAt > 2 * this.#maxClockSkewMs) this.#lives.delete(name);
  }
}

const MALFORMED: Opened = { ok: false, reason: "malformed" };
const WRONG_KEY: Opened = { ok: false, reason: "key" };
const REPLAY: Opened = { ok: false, reason: "replay" };

function windowOf(life: Life, { kind }: EnvelopeHeader): ReplayWindow {
  return kind === KIND_PACKET ? life.packets : life.requests;
}

function nameOf(lifeId: Buffer): string {
  return lifeId.toString("latin1");
}
