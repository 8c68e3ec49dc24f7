// Logs which members' clocks are off, and by how much: once a minute per member, for a limited number of members.

import type { Clock } from "@piko/tunnel";
import type { GossipLogger } from "./core.js";

const WARNING_INTERVAL_MS = 60_000;
/** Members that are logged within a minute. */
const MAX_MEMBERS = 64;

/** Returns the function to call when a message was dropped because of its sender's clock. */
export function clockLog(clock: Clock, logger: GossipLogger): (nodeId: string, aheadMs: number) => void {
  const silentUntil = new Map<string, number>();
  return (nodeId, aheadMs) => {
    const now = clock.now();
    if (now < (silentUntil.get(nodeId) ?? Number.NEGATIVE_INFINITY)) return;
    for (const [id, until] of silentUntil) if (now >= until) silentUntil.delete(id);
    if (silentUntil.size >= MAX_MEMBERS) return;
    silentUntil.set(nodeId, now + WARNING_INTERVAL_MS);
    logger.warn("a node's clock differs from this one's, its messages are dropped", {
      "node-id": nodeId,
      "ahead-ms": Math.round(aheadMs),
    });
  };
}
