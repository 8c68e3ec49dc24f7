// This node's part in the cluster: gossip, the table that it maintains, and connections to other nodes' proxy ports.

import type { Clock } from "@piko/tunnel";
import { formatHostPort, type HostPort } from "../../base/address.js";
import { inferAdvertiseAddress } from "../../config/advertise.js";
import type { ClusterConfig } from "../../config/server.js";
import { SUSPICION_INTERVALS } from "../../gossip/state/failure-detector.js";
import { Gossip } from "../../gossip/gossip.js";
import type { JoinFailure } from "../../gossip/protocol/resolve.js";
import { Drops } from "../../gossip/protocol/drops.js";
import { LIFE_ID_BYTES } from "../../gossip/sealed/envelope.js";
import { SealedTransport } from "../../gossip/sealed/sealed-transport.js";
import { UdpTcpTransport } from "../../gossip/transport/udp-tcp-transport.js";
import type { Logger } from "../../observability/logger.js";
import {
  type ClusterTable,
  NODE_FAILED,
  type NodeAbout,
  type NodeRank,
  type NodeSummary,
  type RemoteNode,
} from "./cluster-table.js";
import { Announcements } from "./announcements.js";
import { GossipKeys } from "./gossip-keys.js";
import {
  announceAbout,
  announceDraining,
  announceHopSecret,
  announceNode,
  watchCluster,
} from "./gossip-sync.js";

/** Pause after the first failed attempt to join; doubles after each further one. */
const FIRST_JOIN_DELAY_MS = 250;
const MAX_JOIN_DELAY_MS = 5_000;
/** How long a node whose own address is among those to join waits for others. It may be the first one, and then must serve. */
const FIRST_NODE_TIMEOUT_MS = 10_000;

export interface ClusterOptions {
  readonly nodeId: string;
  /** What the node announces about itself. */
  readonly about: NodeAbout;
  readonly config: ClusterConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Cryptographically random bytes. */
  readonly randomBytes: (length: number) => Buffer;
  /** Called when an endpoint has become reachable on another node. */
  readonly onEndpoint: (endpointId: string) => void;
  /** Called when an endpoint is no longer reachable on any node, this one included. */
  readonly onEndpointLost: (endpointId: string) => void;
  /** Called when a node has joined or can be reached again. */
  readonly onNode: () => void;
  /** The other nodes; maintained by the cluster. */
  readonly table: ClusterTable;
  /** Called when a node can't be reached; `onNodeGone` when it is gone permanently. */
  readonly onNodeUnreachable: (node: RemoteNode) => void;
  readonly onNodeGone: (node: RemoteNode) => void;
}

/** The parts that are created before gossip. */
interface GossipParts {
  readonly drops: Drops;
  readonly keys: GossipKeys;
  readonly transport: UdpTcpTransport;
}

const HOP_SECRET_BYTES = 16;

/** Gossip rounds for which a node that has left stays and repeats that. */
const LEAVE_ROUNDS = 3;

export class Cluster {
  readonly nodeId: string;
  readonly table: ClusterTable;
  readonly gossip: Gossip;
  readonly gossipAddr: HostPort;
  /** Identifies requests of other nodes. Undefined unless gossip encryption is required: it would not stay secret. */
  readonly hopSecret: Buffer | undefined;
  /** Counts of gossip messages that were dropped unread. */
  readonly drops: Drops;
  /** Encrypts and decrypts gossip on its way to the network. */
  readonly sealed: SealedTransport;
  readonly #keys: GossipKeys;
  readonly #about: NodeAbout;
  readonly #config: ClusterConfig;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #announcements: Announcements;
  #draining = false;
  #proxyAddr = "";
  #adminAddr = "";

  private constructor(options: ClusterOptions, { drops, keys, transport }: GossipParts) {
    const { nodeId, config, logger, clock } = options;
    this.drops = drops;
    const closed = config.gossip.encryption === "required";
    const secret = closed ? options.randomBytes(HOP_SECRET_BYTES).toString("base64url") : undefined;
    this.hopSecret = secret === undefined ? undefined : Buffer.from(secret, "latin1");
    this.#keys = keys;
    this.nodeId = nodeId;
    this.#about = options.about;
    this.table = options.table;
    this.#config = config;
    this.#logger = logger;
    this.#clock = clock;
    this.gossipAddr = transport.address;
    const sync = watchCluster({
      table: this.table,
      logger,
      onEndpoint: (endpointId) => {
        options.onEndpoint(endpointId);
        this.#announcements.onOtherChanged(endpointId);
      },
      onEndpointLost: (endpointId) => {
        const isHere = this.#announcements.listeners.has(endpointId);
        if (!isHere && !this.has(endpointId)) options.onEndpointLost(endpointId);
        this.#announcements.onOtherChanged(endpointId);
      },
      onDoubt: (endpointId) => this.#announcements.onOtherChanged(endpointId),
      onNode: options.onNode,
      onDraining: () => this.#announcements.onOthersChanged(),
    });
    this.sealed = new SealedTransport({
      transport,
      encryption: config.gossip.encryption,
      keys: keys.ring,
      lifeId: options.randomBytes(LIFE_ID_BYTES),
      maxClockSkewMs: config.gossip.maxClockSkewMs,
      drops,
      clock,
      wallNow: options.wallNow,
    });
    this.gossip = new Gossip({
      nodeId,
      addr: formatHostPort(
        this.advertise(config.gossip.advertiseAddr, transport.address, "--cluster.gossip.advertise-addr"),
      ),
      transport: this.sealed,
      watch: {
        ...sync,
        onSuspect: (id) => {
          const node = this.table.get(id);
          const untilMs = clock.now() + SUSPICION_INTERVALS * config.gossip.intervalMs;
          if (node !== undefined) this.table.onSuspect(node, untilMs);
        },
        onUnreachable: (id) => {
          sync.onUnreachable?.(id);
          const node = this.table.get(id);
          if (node !== undefined) options.onNodeUnreachable(node);
        },
        onExpired: (id) => {
          const node = this.table.get(id);
          sync.onExpired?.(id);
          if (node !== undefined) options.onNodeGone(node);
        },
      },
      // A configured id may have been used before: new versions must be above those that others remember.
      initialVersion: config.nodeId === "" ? 0 : options.wallNow(),
      intervalMs: config.gossip.intervalMs,
      maxPacketSize: config.gossip.maxPacketSize,
      maxStateBytes: config.gossip.maxStateBytes,
      defaultPort: transport.address.port,
      lookup: (host, done) => void transport.lookup.lookup(host, done),
      clock,
      random: options.random,
      logger: logger.subsystem("gossip"),
    });
    const { gossip, table } = this;
    this.#announcements = new Announcements({ keys: gossip, table, logger, now: () => clock.now() });
  }

  /** Binds the gossip port, on UDP and TCP. */
  static async listen(options: ClusterOptions): Promise<Cluster> {
    const { clock, config, logger } = options;
    const keys = new GossipKeys({ clusterName: config.name, config: config.gossip, clock, logger });
    try {
      const drops = new Drops(clock, logger.subsystem("gossip"));
      const { allowedCidrs, bindAddr } = config.gossip;
      const transport = await UdpTcpTransport.listen(bindAddr, { clock, allowed: allowedCidrs, drops });
      try {
        return new Cluster(options, { drops, keys, transport });
      } catch (error) {
        await transport.close();
        throw error;
      }
    } catch (error) {
      keys.close();
      throw error;
    }
  }

  /** The address to announce: the configured one, or else an inferred one. A node that joins no other needs none. */
  advertise(configured: HostPort | undefined, bound: HostPort, flag: string): HostPort {
    if (configured !== undefined) return configured;
    try {
      return inferAdvertiseAddress(bound, flag);
    } catch (error) {
      if (this.#config.join.length > 0) throw error;
      return { host: "127.0.0.1", port: bound.port };
    }
  }

  /** Announces this node's addresses, and starts gossip. */
  start(proxyAddr: HostPort, adminAddr: HostPort, tlsPorts: readonly string[] = []): void {
    this.#proxyAddr = formatHostPort(proxyAddr);
    this.#adminAddr = formatHostPort(adminAddr);
    // Before the addresses: no node sends requests here until it knows them.
    if (this.hopSecret !== undefined) announceHopSecret(this.gossip, this.hopSecret.toString("latin1"));
    announceAbout(this.gossip, this.#about);
    announceNode(this.gossip, this.#proxyAddr, this.#adminAddr, tlsPorts);
    this.gossip.start();
  }

  /**
   * Joins the nodes of `cluster.join`. Resolves when one has answered and all nodes that it knows are known, or when there are
   * no others. Rejects if none has answered within `join_timeout` and the node must not continue alone.
   */
  async join(signal: AbortSignal): Promise<void> {
    const { abortIfJoinFails, join, joinTimeoutMs } = this.#config;
    if (join.length === 0) return;
    const late = new AbortController();
    const timer = this.#clock.setTimeout(() => late.abort(), joinTimeoutMs);
    const startMs = this.#clock.now();
    let reasons = "no answer";
    let first = false;
    try {
      const stopOrDeadline = AbortSignal.any([signal, late.signal]);
      for (let delayMs = FIRST_JOIN_DELAY_MS; ; delayMs = Math.min(delayMs * 2, MAX_JOIN_DELAY_MS)) {
        const { failures, nodeIds, outcome, own } = await this.gossip.join(join, { signal: stopOrDeadline });
        if (outcome !== "failed") {
          const message = outcome === "joined" ? "joined cluster" : "no other nodes found";
          this.#logger.info(message, { nodes: nodeIds });
          await this.gossip.settle(signal);
          return;
        }
        reasons = failures.map(describeFailure).join("; ");
        first = own;
        if (first && this.#clock.now() - startMs >= FIRST_NODE_TIMEOUT_MS) break;
        this.#logger.warn("could not join cluster, trying again", { error: reasons, "delay-ms": delayMs });
        await this.#pause(delayMs, stopOrDeadline);
      }
    } catch (error) {
      if (!late.signal.aborted || signal.aborted) throw error;
    } finally {
      this.#clock.clearTimeout(timer);
    }
    if (abortIfJoinFails && !first) throw new Error(`cluster join: ${reasons}`);
    this.#logger.warn("could not join cluster, continuing alone", { error: reasons });
  }

  /** Sets how many listeners an endpoint has on this node, and whether all of them are doubtful. */
  setListeners(endpointId: string, count: number, doubtful: boolean): void {
    this.#announcements.set(endpointId, { count, doubtful });
  }

  /** This node is stopping: from now on, others choose it last, and not at all for endpoints that they have themselves. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    announceDraining(this.gossip);
    this.#announcements.drain();
  }

  /** Whether there are other nodes that this node's agents could move to. */
  get hasOthers(): boolean {
    for (const { draining, status } of this.table.nodes()) if (status === "active" && !draining) return true;
    return false;
  }

  /** The number of listeners of each other node that is reachable and not draining. Slow: meant for once a second. */
  listenersOfOthers(): number[] {
    const counts: number[] = [];
    for (const { draining, endpoints, status } of this.table.nodes()) {
      if (status !== "active" || draining) continue;
      let sum = 0;
      for (const count of endpoints.values()) sum += count;
      counts.push(sum);
    }
    return counts;
  }

  /** Whether another node with a rank of at most `worst` has listeners for the endpoint. */
  has(endpointId: string, worst: NodeRank = NODE_FAILED): boolean {
    return this.table.select(endpointId, this.#clock.now(), undefined, worst) !== undefined;
  }

  /** This node, as the others see it. */
  local(): NodeSummary {
    return {
      id: this.nodeId,
      status: "active",
      proxyAddr: this.#proxyAddr,
      adminAddr: this.#adminAddr,
      endpoints: this.#announcements.listeners,
      about: this.#about,
    };
  }

  /** Announces to the others that this node is leaving, and waits a moment for that to spread. */
  async leave(): Promise<void> {
    const confirmed = await this.gossip.leave();
    this.#logger.info("left cluster", { "confirmed-by": confirmed });
    // This node repeats the announcement for some rounds, for nodes that don't learn it from a confirming node.
    if (confirmed > 0) {
      const repeatsMs = LEAVE_ROUNDS * this.#config.gossip.intervalMs;
      await new Promise<void>((resolve) => void this.#clock.setTimeout(resolve, repeatsMs));
    }
  }

  async close(): Promise<void> {
    this.#keys.close();
    await this.gossip.close();
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const timer = this.#clock.setTimeout(() => {
        signal.removeEventListener("abort", aborted);
        resolve();
      }, ms);
      const aborted = (): void => {
        this.#clock.clearTimeout(timer);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", aborted, { once: true });
    });
  }
}

function describeFailure({ address, error }: JoinFailure): string {
  return error.message.includes(address) ? error.message : `${address}: ${error.message}`;
}
