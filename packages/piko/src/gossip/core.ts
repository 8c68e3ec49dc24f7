// What the parts of gossip share: the table of nodes, the transport, time, chance, and the few things that all of them do
// with these: send a digest, send news, ask a node whether it is there.

import type { Logger } from "../observability/logger.js";
import type { ClusterState } from "./cluster-state.js";
import type { GossipCounters } from "./counters.js";
import type { LocalState } from "./local-state.js";
import type { Member } from "./member.js";
import type { DigestEntry, Entry } from "./messages.js";
import type { NodeNews, PacketBuilder } from "./packets.js";
import type { GossipTransport } from "./transport.js";

/** What gossip logs to. */
export type GossipLogger = Pick<Logger, "debug" | "info" | "warn">;

/** Packets in one answer. More would only be lost on a busy receiver; larger differences are fetched over TCP. */
const MAX_DELTA_PACKETS = 4;
/** Digest entries that are always the latest changes; the rest of a packet is left to chance. */
const RECENT_ENTRIES = 10;
/** Digest entries that a packet of any permitted size could hold. */
const MAX_DIGEST_ENTRIES = 1_500;

export interface GossipCoreOptions {
  readonly cluster: ClusterState;
  readonly builder: PacketBuilder;
  readonly transport: GossipTransport;
  readonly counters: GossipCounters;
  readonly logger: GossipLogger;
  readonly now: () => number;
  readonly random: () => number;
  readonly intervalMs: number;
}

/** Nodes that are no members yet, or no longer, and are asked within one interval. */
const PROBES = 64;

/** Shared by the handlers, the rounds and the liveness check of one node. */
export class GossipCore {
  readonly cluster: ClusterState;
  readonly local: LocalState;
  readonly transport: GossipTransport;
  readonly counters: GossipCounters;
  readonly logger: GossipLogger;
  readonly now: () => number;
  readonly random: () => number;
  readonly intervalMs: number;
  readonly #builder: PacketBuilder;
  #probes = PROBES;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: GossipCoreOptions) {
    this.cluster = options.cluster;
    this.local = options.cluster.local;
    this.transport = options.transport;
    this.counters = options.counters;
    this.logger = options.logger;
    this.now = options.now;
    this.random = options.random;
    this.intervalMs = options.intervalMs;
    this.#builder = options.builder;
  }

  /** A gossip interval begins. */
  tick(): void {
    this.#probes = PROBES;
  }

  /** Sends a packet. */
  send(addr: string, packet: Buffer): void {
    this.counters.packetBytesOutbound += packet.length;
    this.transport.sendPacket(addr, packet);
  }

  /** Sends as much of a digest as fits into a packet. */
  sendDigest(addr: string, request: boolean, entries: readonly DigestEntry[]): void {
    const { packet, count } = this.#builder.digest(request, entries);
    this.counters.digestEntriesOutbound += count;
    this.send(addr, packet);
  }

  /** A digest for a round of gossip, or for the reply to one: the latest changes, and of the others any. */
  roundDigest(entries: DigestEntry[]): DigestEntry[] {
    const last = Math.min(entries.length, MAX_DIGEST_ENTRIES);
    for (let i = RECENT_ENTRIES; i < last; i++) {
      const j = i + Math.floor(this.random() * (entries.length - i));
      const [a, b] = [entries[i], entries[j]];
      if (a !== undefined && b !== undefined) [entries[i], entries[j]] = [b, a];
    }
    return entries;
  }

  /** Sends news, an empty packet if there is none. Returns what did not fit. */
  sendNews(
    addr: string,
    news: readonly NodeNews[],
    maxPackets: number = MAX_DELTA_PACKETS,
  ): readonly NodeNews[] {
    const { packets, entryCount, leftOver } = this.#builder.deltas(news, maxPackets);
    this.counters.deltaEntriesOutbound += entryCount;
    for (const packet of packets) this.send(addr, packet);
    return leftOver;
  }

  /** Sends one entry of this node's own, unasked. */
  sendEntry(addr: string, entry: Entry): void {
    this.counters.deltaEntriesOutbound += 1;
    this.send(addr, this.#builder.delta(this.local.id, this.cluster.addr, [entry]));
  }

  /** Asks a member whether it is there: a digest without entries, to which it owes a packet of news. */
  ping(member: Member): void {
    member.probedAt = this.now();
    this.sendDigest(member.addr, true, []);
  }

  /**
   * Asks a node that is no member, or no longer, for a sign of life and its keys above a version. It learns by the question
   * what there is to know of this node.
   */
  probe(id: string, addr: string, version: number): void {
    this.sendDigest(addr, true, [this.cluster.ownDigestEntry(), { id, addr, version, left: false }]);
  }

  /** {@link probe}, unless it was asked within the last interval, or too many were. */
  probeMember(member: Member, addr: string = member.addr): void {
    // Half an interval is shaved off, because the ticks that call this have jitter.
    if (this.#probes <= 0 || this.now() - member.probedAt < this.intervalMs / 2) return;
    this.#probes -= 1;
    member.probedAt = this.now();
    this.probe(member.id, addr, member.state.version);
  }

  /** Others know this node by a version that it has not had in this life: goes on above it. */
  outdo(version: number): void {
    // Two nodes of the same id would outdo each other without end.
    if (this.local.left || this.now() - this.#renewedAt < 10 * this.intervalMs) return;
    this.#renewedAt = this.now();
    if (this.local.continueAbove(version))
      this.logger.info("continuing above the version of an earlier life", { version });
  }

  /** Says, now and then, that another node has this node's id. */
  warnOfDouble(addr: string): void {
    if (this.now() - this.#warnedAt < 600 * this.intervalMs) return;
    this.#warnedAt = this.now();
    this.logger.warn("another node has the same id", { "node-id": this.local.id, addr });
  }
}
