// Counts what gossip's limits reject, and logs it once a minute per limit.

import type { Clock } from "@piko/tunnel";
import type { GossipLimit } from "../state/state-budget.js";
import type { GossipLogger } from "./core.js";
import type { GossipCounters } from "./counters.js";

const WARNING_INTERVAL_MS = 60_000;

/** Returns the function to call when a limit was hit. */
export function limitLog(
  clock: Clock,
  logger: GossipLogger,
  counters: GossipCounters,
): (limit: GossipLimit) => void {
  const silentUntil = new Map<GossipLimit, number>();
  return (limit) => {
    const refused = (counters.limited.get(limit) ?? 0) + 1;
    counters.limited.set(limit, refused);
    const now = clock.now();
    if (now < (silentUntil.get(limit) ?? Number.NEGATIVE_INFINITY)) return;
    silentUntil.set(limit, now + WARNING_INTERVAL_MS);
    logger.warn("limit reached", { limit: `cluster.gossip.${limit}`, refused });
  };
}
