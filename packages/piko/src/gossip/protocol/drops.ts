// Counts the messages that a transport drops unread, and logs them once a minute per reason: anyone who reaches the port can cause them.

import type { Clock } from "@piko/tunnel";
import type { GossipLogger } from "./core.js";

/**
 * Why a message was dropped: its sender's address isn't allowed ("address"); it isn't sealed although that is required
 * ("plain"); it was sealed with a key that this node doesn't have ("key"); it was received before ("replay"); the sender's
 * clock is too far off ("clock"); it isn't a message, or was changed in transit ("malformed").
 */
export type DropReason = "address" | "plain" | "key" | "replay" | "clock" | "malformed";

const WARNING_INTERVAL_MS = 60_000;

const MEANING: Readonly<Record<DropReason, string>> = {
  address: "its address is not in cluster.gossip.allowed_cidrs",
  plain: "it is not encrypted",
  key: "it is encrypted by a key that this node doesn't have",
  replay: "it has been seen before",
  clock: "the sender's clock differs by more than cluster.gossip.max_clock_skew",
  malformed: "it is damaged, or of a cluster with another cluster.name",
};

/** Counts one node's dropped messages. */
export class Drops {
  readonly counts: Map<DropReason, number> = new Map([
    ["address", 0],
    ["plain", 0],
    ["key", 0],
    ["replay", 0],
    ["clock", 0],
    ["malformed", 0],
  ]);
  readonly #clock: Clock;
  readonly #logger: GossipLogger;
  readonly #silentUntil = new Map<DropReason, number>();

  constructor(clock: Clock, logger: GossipLogger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Counts a dropped message. `from`: the address that it came from. */
  add(reason: DropReason, from: string): void {
    const dropped = (this.counts.get(reason) ?? 0) + 1;
    this.counts.set(reason, dropped);
    const now = this.#clock.now();
    if (now < (this.#silentUntil.get(reason) ?? Number.NEGATIVE_INFINITY)) return;
    this.#silentUntil.set(reason, now + WARNING_INTERVAL_MS);
    // The network may duplicate packets, too.
    const level = reason === "replay" ? "info" : "warn";
    this.#logger[level]("gossip message dropped", { reason: MEANING[reason], from, dropped });
  }
}
