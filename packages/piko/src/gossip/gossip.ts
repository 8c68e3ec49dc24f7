// Membership and shared keys of a cluster: the public interface of this folder. The server's node creates one, sets its keys, and is
// notified of the keys of other nodes. Time, randomness and the network are passed in; everything else here is deterministic.

import { type Clock, type Timer } from "@piko/tunnel";
import { ClusterState } from "./state/cluster-state.js";
import { GossipCore, type GossipLogger } from "./protocol/core.js";
import { GossipCounters } from "./protocol/counters.js";
import { GossipError } from "./wire/errors.js";
import { Exchanges } from "./protocol/exchanges.js";
import { SILENCE_UNREACHABLE } from "./state/failure-detector.js";
import { announceLeft, leaveCluster } from "./protocol/leave.js";
import { checkLiveness } from "./protocol/liveness.js";
import { LocalState } from "./state/local-state.js";
import { PacketHandler } from "./protocol/packet-handler.js";
import { clockLog } from "./protocol/clock-log.js";
import { limitLog } from "./protocol/limit-log.js";
import { StateBudget } from "./state/state-budget.js";
import { AddressValidation } from "./protocol/address-validation.js";
import { PacketBuilder } from "./protocol/packet-builder.js";
import { type Lookup, resolveJoinAddresses } from "./protocol/resolve.js";
import { Rounds } from "./protocol/rounds.js";
import { type JoinResult, type ResolveAddresses, Seeds } from "./protocol/seeds.js";
import {
  type EntryCounts,
  type NodeDetails,
  type NodeSnapshot,
  snapshotEntryCounts,
  snapshotNode,
  snapshotNodes,
} from "./state/snapshot.js";
import { requestEnd } from "./wire/message-end.js";
import { findSender } from "./wire/find-sender.js";
import { WorkQueue } from "./protocol/work-queue.js";
import { handleRequest } from "./protocol/request-handler.js";
import type { GossipTransport } from "./protocol/transport.js";
import type { GossipWatch } from "./state/watch.js";

/** Settings and dependencies of gossip. */
export interface GossipOptions {
  /** Unique in the cluster. */
  readonly nodeId: string;
  /** `host:port` at which others reach this node's transport. */
  readonly addr: string;
  readonly transport: GossipTransport;
  readonly watch?: GossipWatch;
  /**
   * Version above which this node's keys begin. If the id is configured, and may have been used before, pass the milliseconds
   * since 1970: then whatever others remember of an earlier incarnation is older, and they drop it. For a new id leave it at 0,
   * as Go does. Without it, an earlier incarnation is noticed only if it had more versions or another address, or if the first
   * node that is joined remembers it.
   */
  readonly initialVersion?: number;
  /** Time between rounds. All timeouts of failure detection are multiples of it: a dead node is removed after 30. Default 100. */
  readonly intervalMs?: number;
  /** Maximum size of a datagram to send, in bytes. Default 1400. */
  readonly maxPacketSize?: number;
  /** Memory for what other nodes announce, in bytes; a single node gets a quarter at most. Default 128 MiB. */
  readonly maxStateBytes?: number;
  /** How long nodes that left or stopped answering stay in the table. Default 60,000. */
  readonly expiryMs?: number;
  /** Number of deleted keys that triggers a compaction. Default 100. */
  readonly compactionThreshold?: number;
  /** Time between attempts to join those nodes at the join addresses that aren't members. Default 5,000. */
  readonly rejoinIntervalMs?: number;
  /** Port of join addresses without one. Default 8003. */
  readonly defaultPort?: number;
  readonly clock: Clock;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly resolve?: ResolveAddresses;
  /** Looks up the names in join addresses, unless `resolve` does. */
  readonly lookup?: Lookup;
  readonly logger?: GossipLogger;
}

/** Intervals between checks for what can be compacted or expired. */
const HOUSEKEEPING_EVERY = 10;
/**
 * Fraction of an interval by which a tick may be late. A tick that is later shows that this process was stopped or is short of
 * CPU: this time doesn't count as silence of others, and changes wait for the next round.
 */
const LATE = 0.25;
/** Fraction of an interval that passes between a change of keys, by this node or learned from others, and sending it on. */
const CHANGES_DELAY = 0.1;

/** Intervals for which a node that has left, but isn't closed yet, repeats that it left. */
const LEFT_REPEATS = 3;

const SILENT: GossipLogger = { debug: () => {}, info: () => {}, warn: () => {} };

/** One node's participation in a cluster. */
export class Gossip {
  readonly nodeId: string;
  readonly addr: string;
  readonly counters: GossipCounters = new GossipCounters();
  /** Memory for what other nodes announce. */
  readonly budget: StateBudget;
  readonly #clock: Clock;
  readonly #transport: GossipTransport;
  readonly #core: GossipCore;
  readonly #builder: PacketBuilder;
  readonly #local: LocalState;
  readonly #cluster: ClusterState;
  readonly #exchanges: Exchanges;
  readonly #work: WorkQueue;
  readonly #packets: PacketHandler;
  readonly #rounds: Rounds;
  readonly #seeds: Seeds;
  #tickTimer: Timer | undefined;
  #tickDue = 0;
  #ticks = 0;
  #leftTicks = 0;
  #changesTimer: Timer | undefined;
  #changesSent = false;
  /** Whether changes wait for the rounds, because this process is short of CPU. */
  #busy = false;
  #closed = false;
  readonly #warnOfClockSkew: (nodeId: string, aheadMs: number) => void;
  /** Ends the pending calls on close. */
  readonly #onClose = new Set<() => void>();

  constructor(options: GossipOptions) {
    const { nodeId, addr, transport, watch = {}, intervalMs = 100, maxPacketSize = 1_400 } = options;
    const { clock, random, logger = SILENT } = options;
    this.nodeId = nodeId;
    this.addr = addr;
    this.#clock = clock;
    this.#transport = transport;
    const now = (): number => clock.now();
    const builder = new PacketBuilder({
      from: { nodeId, addr },
      maxPacketSize: maxPacketSize - (transport.packetOverheadBytes ?? 0),
    });
    this.#builder = builder;
    this.#local = new LocalState({
      id: nodeId,
      compactionThreshold: options.compactionThreshold ?? 100,
      fits: (key, value) => builder.fits(key, value),
      initialVersion: options.initialVersion ?? 0,
    });
    const expiryMs = options.expiryMs ?? 60_000;
    const { counters } = this;
    const onLimit = limitLog(clock, logger, counters);
    this.#warnOfClockSkew = clockLog(clock, logger);
    this.budget = new StateBudget(options.maxStateBytes ?? 128 * 1_024 * 1_024);
    const validation = new AddressValidation(now, intervalMs);
    const onMember = (id: string): void => this.#seeds.onMember(id);
    this.#cluster = new ClusterState({
      local: this.#local,
      addr,
      intervalMs,
      expiryMs,
      now,
      watch,
      budget: this.budget,
      isValidated: (address) => validation.isValidated(address),
      onLimit,
      onMember,
    });
    const cluster = this.#cluster;
    this.#work = new WorkQueue(clock);
    const work = this.#work;
    this.#core = new GossipCore({
      cluster,
      builder,
      transport,
      counters,
      work,
      validation,
      logger,
      onLimit,
      now,
      random,
      intervalMs,
    });
    this.#exchanges = new Exchanges(this.#core);
    this.#packets = new PacketHandler(this.#core, this.#exchanges, () => this.#changed());
    this.#rounds = new Rounds(this.#core);
    this.#seeds = new Seeds({
      core: this.#core,
      exchanges: this.#exchanges,
      clock,
      resolve: options.resolve ?? resolveBy(options),
      rejoinMs: options.rejoinIntervalMs ?? 5_000,
    });
  }

  /** Starts to answer others and to gossip. */
  start(): void {
    this.#packets.start();
    this.#transport.attach({
      onPacket: (packet, ip, origin) => {
        if (!this.#closed) this.#packets.handle(packet, ip, origin);
      },
      requestEnd,
      onConnectionRefused: () => this.#core.onLimit("max_connections"),
      onRequest: (request, ip, answer) => {
        if (this.#closed) answer(undefined);
        else handleRequest(this.#core, request, ip, answer);
      },
      onClockOff: (message, aheadMs) => this.#onClockOff(message, aheadMs),
    });
    this.#arm();
  }

  /**
   * Joins the cluster of the nodes at these addresses (see {@link resolveJoinAddresses}); returns once one of them has
   * answered, or all have failed. From then on the addresses are retried regularly, whatever the result: a node that is alone
   * now may find others later.
   *
   * @throws the signal's reason when it is aborted; GossipError PIKO_GOSSIP_CANCELLED on close.
   */
  async join(addresses: readonly string[], options: { signal?: AbortSignal } = {}): Promise<JoinResult> {
    const { signal } = options;
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const ended = (): void => {
        signal?.removeEventListener("abort", aborted);
        this.#onClose.delete(closed);
      };
      const closed = (): void => {
        ended();
        reject(new GossipError("PIKO_GOSSIP_CANCELLED", "gossip was closed"));
      };
      const stop = this.#seeds.join(addresses, (result) => {
        ended();
        resolve(result);
      });
      const aborted = (): void => {
        ended();
        stop();
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", aborted, { once: true });
      this.#onClose.add(closed);
    });
  }

  /**
   * Waits until every node that others mention has answered or was given up. Right after a join only one node is known. Returns
   * at once if no node is pending, or when the signal is aborted.
   */
  async settle(signal?: AbortSignal): Promise<void> {
    for (let i = 0; i < SILENCE_UNREACHABLE && this.#cluster.undecided; i++) {
      if (this.#closed || signal?.aborted === true) return;
      await new Promise<void>((resolve) => void this.#clock.setTimeout(resolve, this.#core.intervalMs));
    }
  }

  /**
   * Informs all others that this node leaves. Returns how many confirmed it: at most 3, since those inform the rest; 0 if there
   * are no others or none answers in time. If there is time, wait some intervals before calling {@link close}.
   */
  async leave(options: { timeoutMs?: number } = {}): Promise<number> {
    return new Promise((resolve) => {
      const closed = (): void => resolve(0);
      this.#onClose.add(closed);
      leaveCluster(this.#core, this.#exchanges, options.timeoutMs ?? 2_000, (confirmed) => {
        this.#onClose.delete(closed);
        resolve(confirmed);
      });
    });
  }

  /** Stops at once, without notifying others. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of [this.#tickTimer, this.#changesTimer])
      if (timer !== undefined) this.#clock.clearTimeout(timer);
    this.#seeds.close();
    this.#exchanges.close();
    this.#work.close();
    for (const closed of this.#onClose) closed();
    await this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Sets one of this node's keys.
   *
   * @throws GossipError if it doesn't fit into a packet (see {@link fits}), or the key belongs to the protocol.
   */
  upsertLocal(key: string, value: string, options: { internal?: boolean } = {}): void {
    if (this.#local.upsert(key, value, options.internal ?? false)) this.#changed();
  }

  /** Deletes one of this node's keys, if it exists. */
  deleteLocal(key: string): void {
    if (this.#local.delete(key)) this.#changed();
  }

  /** Whether a key can be set to a value. An entry that doesn't fit into a packet would hold up all later changes of this node. */
  fits(key: string, value: string): boolean {
    return this.#builder.fits(key, value);
  }

  /** All nodes that have answered, and this one, sorted by id. */
  nodes(): NodeSnapshot[] {
    return snapshotNodes(this.#cluster, this.#clock.now());
  }

  /** One node with its keys. */
  node(id: string): NodeDetails | undefined {
    return snapshotNode(this.#cluster, id, this.#clock.now());
  }

  /** Number of keys of each node. */
  entryCounts(): EntryCounts[] {
    return snapshotEntryCounts(this.#cluster);
  }

  #onClockOff(message: Buffer, aheadMs: number): void {
    const from = findSender(message);
    if (from !== undefined) this.#warnOfClockSkew(from.nodeId, aheadMs);
  }

  #arm(): void {
    const { intervalMs, random } = this.#core;
    const ms = intervalMs + (random() * intervalMs) / 10;
    this.#tickDue = this.#clock.now() + ms;
    this.#tickTimer = this.#clock.setTimeout(() => this.#tick(), ms);
  }

  #tick(): void {
    const now = this.#clock.now();
    const late = now - this.#tickDue;
    this.#busy = late > LATE * this.#core.intervalMs;
    if (this.#busy) {
      for (const member of this.#cluster.members) member.arrivals.excuse(late, now);
    }
    this.#arm();
    this.#core.tick();
    this.#packets.tick();
    this.#changesSent = false;
    this.#ticks += 1;
    if (this.#local.left) {
      // Packets get lost, and there may be no node left to pass it on.
      if (this.#leftTicks++ < LEFT_REPEATS) announceLeft(this.#core);
    } else {
      checkLiveness(this.#core, this.#exchanges);
      this.#rounds.run();
    }
    if (this.#ticks % HOUSEKEEPING_EVERY === 0) {
      this.#local.compact();
      this.#cluster.expire();
    }
  }

  /** Sends changed keys to others soon: all changes of the moment together, and at most once between two rounds. */
  #changed(): void {
    if (
      this.#changesTimer !== undefined ||
      this.#changesSent ||
      this.#busy ||
      this.#tickTimer === undefined ||
      this.#closed
    )
      return;
    this.#changesTimer = this.#clock.setTimeout(() => {
      this.#changesTimer = undefined;
      this.#changesSent = true;
      if (!this.#local.left) this.#rounds.spreadChanges();
    }, this.#core.intervalMs * CHANGES_DELAY);
  }
}

function resolveBy({ lookup, defaultPort = 8_003, clock }: GossipOptions): ResolveAddresses {
  const byName: Lookup = lookup ?? ((host, done) => done(new Error(`no lookup of names: ${host}`), []));
  return (addresses, done) => {
    void resolveJoinAddresses(addresses, { defaultPort, clock, lookup: byName }).then(done);
  };
}
