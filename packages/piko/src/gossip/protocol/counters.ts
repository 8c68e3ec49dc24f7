// Gossip's counters for the metrics: plain numbers that only increase, read at each scrape.

import type { GossipLimit } from "../state/state-budget.js";

/** Bytes received and sent, over TCP and UDP. */
export interface TrafficBytes {
  streamBytesInbound: number;
  streamBytesOutbound: number;
  packetBytesInbound: number;
  packetBytesOutbound: number;
}

/** Totals since the start. Bytes are those of the protocol; a transport counts its own overhead. */
export class GossipCounters implements TrafficBytes {
  connectionsInbound = 0;
  connectionsOutbound = 0;
  streamBytesInbound = 0;
  streamBytesOutbound = 0;
  packetBytesInbound = 0;
  packetBytesOutbound = 0;
  digestEntriesInbound = 0;
  digestEntriesOutbound = 0;
  deltaEntriesInbound = 0;
  deltaEntriesOutbound = 0;
  /** Packets that were malformed, or whose sender can't be at the address that it claims. */
  packetsRefused = 0;
  /** Malformed requests over TCP. */
  requestsRefused = 0;
  /** What was rejected or skipped because of a limit. */
  readonly limited: Map<GossipLimit, number> = new Map([
    ["max_state_bytes", 0],
    ["max_state_bytes_per_node", 0],
    ["max_members", 0],
    ["max_connections", 0],
    ["max_unvalidated_bytes", 0],
  ]);
}
