// What gossip counts, for the metrics. Plain numbers that only go up; read when somebody asks.

/** Totals since the start. */
export class GossipCounters {
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
  /** Packets that were no messages, or whose sender can't be where it says. */
  packetsRefused = 0;
  /** Requests over TCP that were none. */
  requestsRefused = 0;
}
