// Counts the messages that a transport drops unread, and logs them once a minute for each reason: anyone who reaches the
// port can cause them.

import type { Clock } from "@piko/tunnel";
import type { GossipLogger } from "./core.js";

/**
 * Why: its sender's address isn't allowed; it isn't sealed, where that is required; it is sealed by a key that this node
 * doesn't have; it has been seen; the sender's clock is too far off; it is no message, or was changed on its way.
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

/** The dropped messages of one node. */
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

  /** A message from somewhere was dropped. */
  add(reason: DropReason, from: string): void {
    const dropped = (this.counts.get(reason) ?? 0) + 1;
    this.counts.set(reason, dropped);
    const now = this.#clock.now();
    if (now < (this.#silentUntil.get(reason) ?? Number.NEGATIVE_INFINITY)) return;
    this.#silentUntil.set(reason, now + WARNING_INTERVAL_MS);
    // Copies are the network's doing, too.
    const level = reason === "replay" ? "info" : "warn";
    this.#logger[level]("gossip message dropped", { reason: MEANING[reason], from, dropped });
  }
}
