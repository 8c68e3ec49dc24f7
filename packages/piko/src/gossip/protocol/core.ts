// What the parts of gossip share: the table of nodes, the transport, time, randomness, and common actions: sending a digest,
// sending a delta, probing a node.

import type { Logger } from "../../observability/logger.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { AddressValidation } from "./address-validation.js";
import type { GossipCounters } from "./counters.js";
import type { LocalState } from "../state/local-state.js";
import type { Member } from "../state/member.js";
import type { DigestEntry, Entry } from "../wire/messages.js";
import type { DeltaSource } from "../state/node-state.js";
import type { GossipLimit } from "../state/state-budget.js";
import type { PacketBuilder } from "./packet-builder.js";
import type { GossipTransport } from "./transport.js";
import type { WorkQueue } from "./work-queue.js";

/** What gossip logs to. */
export type GossipLogger = Pick<Logger, "debug" | "info" | "warn">;

/** Maximum packets in one answer. A busy receiver would lose any more; larger differences are fetched over TCP. */
const MAX_DELTA_PACKETS = 4;

export interface GossipCoreOptions {
  readonly cluster: ClusterState;
  readonly builder: PacketBuilder;
  readonly transport: GossipTransport;
  readonly counters: GossipCounters;
  readonly work: WorkQueue;
  readonly validation: AddressValidation;
  readonly logger: GossipLogger;
  /** Called when a limit kept something out. */
  readonly onLimit: (limit: GossipLimit) => void;
  readonly now: () => number;
  readonly random: () => number;
  readonly intervalMs: number;
}

/** Changes that a ping includes, and the intervals for which a change is recent enough to be included. */
const PING_CHANGES = 4;
const PING_CHANGES_FOR = 20;
/** Maximum probes within one interval to nodes that aren't members yet, or no longer are. */
const PROBES = 64;

/** Shared by the handlers, the rounds and the liveness check of one node. */
export class GossipCore {
  readonly cluster: ClusterState;
  readonly local: LocalState;
  readonly transport: GossipTransport;
  readonly counters: GossipCounters;
  readonly work: WorkQueue;
  readonly validation: AddressValidation;
  readonly logger: GossipLogger;
  /** Called when a limit kept something out. */
  readonly onLimit: (limit: GossipLimit) => void;
  readonly now: () => number;
  readonly random: () => number;
  readonly intervalMs: number;
  readonly #builder: PacketBuilder;
  #probes = PROBES;
  #ownVersion = 0;
  #ownChangedAt = Number.NEGATIVE_INFINITY;
  /** Addresses that were probed within this interval. */
  readonly #probed = new Set<string>();
  #latest: readonly DigestEntry[] = [];
  /** Whether an earlier incarnation was refuted, or can't be newer than this one. */
  #refutedOld: boolean;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: GossipCoreOptions) {
    this.cluster = options.cluster;
    this.local = options.cluster.local;
    this.transport = options.transport;
    this.counters = options.counters;
    this.work = options.work;
    this.validation = options.validation;
    this.logger = options.logger;
    this.onLimit = options.onLimit;
    this.now = options.now;
    this.random = options.random;
    this.intervalMs = options.intervalMs;
    this.#builder = options.builder;
    this.#refutedOld = this.local.version > 0;
  }

  /** A gossip interval begins. */
  tick(): void {
    this.#probes = PROBES;
    this.#probed.clear();
    const now = this.now();
    const since = now - PING_CHANGES_FOR * this.intervalMs;
    if (this.local.version !== this.#ownVersion) this.#ownChangedAt = now;
    this.#ownVersion = this.local.version;
    const own = this.#ownChangedAt >= since ? [this.cluster.ownDigestEntry()] : [];
    this.#latest = [...own, ...this.cluster.latest(since, PING_CHANGES - own.length)];
  }

  /** Sends a packet, unless its address isn't validated and has used up its allowance. */
  send(addr: string, packet: Buffer, answers?: Buffer): void {
    if (packet.length > this.validation.allowance(addr)) {
      this.onLimit("max_unvalidated_bytes");
      return;
    }
    this.validation.spend(addr, packet.length);
    this.#transmit(addr, packet, answers);
  }

  #transmit(addr: string, packet: Buffer, answers?: Buffer): void {
    this.counters.packetBytesOutbound += packet.length;
    this.transport.sendPacket(addr, packet, answers);
  }

  /** Digest entries that can fit into a packet. */
  get maxDigestEntries(): number {
    return this.#builder.maxDigestEntries;
  }

  /** Maximum size of a datagram, in bytes. */
  get maxPacketSize(): number {
    return this.#builder.maxPacketSize;
  }

  /** Sends as much of a digest as fits into a packet. */
  sendDigest(addr: string, request: boolean, entries: readonly DigestEntry[]): void {
    const { packet, count } = this.#builder.digest(request, entries, this.validation.allowance(addr));
    this.counters.digestEntriesOutbound += count;
    this.send(addr, packet);
  }

  /**
   * Sends deltas in answer to a digest; an empty packet if there is nothing new. `answers` is the reference of the digest's
   * packet. Returns what did not fit.
   */
  sendDelta(
    addr: string,
    sources: readonly DeltaSource[],
    answers: Buffer | undefined,
    maxPackets: number = MAX_DELTA_PACKETS,
    maxBytes: number = this.validation.allowance(addr),
  ): readonly DeltaSource[] {
    const { packets, entryCount, leftOver } = this.#builder.deltas(sources, maxPackets, maxBytes);
    this.counters.deltaEntriesOutbound += entryCount;
    for (const packet of packets) this.send(addr, packet, answers);
    return leftOver;
  }

  /** Sends one of this node's own entries, unasked. */
  sendEntry(addr: string, entry: Entry): void {
    this.counters.deltaEntriesOutbound += 1;
    this.send(addr, this.#builder.delta(this.local.id, this.cluster.addr, [entry]));
  }

  /**
   * Checks whether a member is alive: sends a digest, which it has to answer with a delta. The digest includes only the latest
   * changes, usually none; in large clusters these digests spread changes faster than the rounds.
   */
  ping(member: Member): void {
    member.probedAt = this.now();
    this.sendDigest(member.addr, true, this.#latest);
  }

  /**
   * Asks a node that isn't a member yet, or no longer is, for a sign of life and its keys above a version. From the question it
   * learns this node's version.
   */
  probe(id: string, addr: string, version: number): void {
    // No two nodes have the same address.
    if (this.#probes <= 0 || this.#probed.has(addr)) return;
    const { packet } = this.#builder.digest(true, [
      this.cluster.ownDigestEntry(),
      { id, addr, version, left: false },
    ]);
    const paid = this.validation.allowance(addr) >= packet.length;
    if (!paid && !this.validation.takeQuestion(addr)) return;
    if (paid) this.validation.spend(addr, packet.length);
    this.#probes -= 1;
    this.#probed.add(addr);
    this.counters.digestEntriesOutbound += 2;
    this.#transmit(addr, packet);
  }

  /** Calls {@link probe}, unless the member was probed within the last interval. */
  probeMember(member: Member, addr: string = member.addr): void {
    // The half interval is a margin, because the ticks that call this have jitter.
    if (this.now() - member.probedAt < this.intervalMs / 2) return;
    member.probedAt = this.now();
    // At another address it would be another incarnation, about which nothing is known.
    this.probe(member.id, addr, addr === member.addr ? member.state.version : 0);
  }

  /** Others know a version of this node that it hasn't reached in this incarnation: continues above it. */
  refuteVersion(version: number): void {
    // Two nodes with the same id would refute each other endlessly.
    if (this.local.left || this.now() - this.#renewedAt < 10 * this.intervalMs) return;
    this.#renewedAt = this.now();
    if (this.local.continueAbove(version))
      this.logger.info("continuing above the version of an earlier incarnation", { version });
  }

  /**
   * Others remember an earlier incarnation of this node, but no later version than the current one. Continuing above it once is
   * enough: Go nodes keep the address and the leaving that they learned first, whatever they receive later.
   */
  refuteOldIncarnation(): void {
    if (this.#refutedOld) return;
    this.#refutedOld = true;
    this.refuteVersion(this.local.version);
  }

  /** Logs occasionally that another node has this node's id. */
  warnOfDuplicateId(addr: string): void {
    if (this.now() - this.#warnedAt < 600 * this.intervalMs) return;
    this.#warnedAt = this.now();
    this.logger.warn("another node has the same id", { "node-id": this.local.id, addr });
  }
}
