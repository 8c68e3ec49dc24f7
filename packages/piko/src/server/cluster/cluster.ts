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

/** Pause after the first failed attempt to join; the next ones are twice as long each. */
const FIRST_JOIN_DELAY_MS = 250;
const MAX_JOIN_DELAY_MS = 5_000;
/** How long a node that is itself among the addresses waits for the others: it may be the first, and has to serve then. */
const FIRST_NODE_PATIENCE_MS = 10_000;

export interface ClusterOptions {
  readonly nodeId: string;
  /** What it says of itself. */
  readonly about: NodeAbout;
  readonly config: ClusterConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Bytes that can't be guessed. */
  readonly randomBytes: (length: number) => Buffer;
  /** An endpoint has become reachable on another node. */
  readonly onEndpoint: (endpointId: string) => void;
  /** An endpoint can be reached neither here nor on another node any more. */
  readonly onEndpointLost: (endpointId: string) => void;
  /** A node has joined, or can be reached again. */
  readonly onNode: () => void;
  /** What is known of the others; kept by the cluster. */
  readonly table: ClusterTable;
  /** A node can't be reached; it is gone permanently. */
  readonly onNodeUnreachable: (node: RemoteNode) => void;
  readonly onNodeGone: (node: RemoteNode) => void;
}

/** What is there before gossip is. */
interface GossipParts {
  readonly drops: Drops;
  readonly keys: GossipKeys;
  readonly transport: UdpTcpTransport;
}

const HOP_SECRET_BYTES = 16;

/** Rounds of gossip for which a node that has left stays to say so. */
const LEAVE_ROUNDS = 3;

export class Cluster {
  readonly nodeId: string;
  readonly table: ClusterTable;
  readonly gossip: Gossip;
  readonly gossipAddr: HostPort;
  /** By which this node knows requests of other nodes; undefined where others than nodes could learn it from gossip. */
  readonly hopSecret: Buffer | undefined;
  /** Gossip that was dropped unread. */
  readonly drops: Drops;
  /** What goes over the wire. */
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
      // A given id may have been used before: what others remember of that life must not count.
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

  /** The address to announce: the configured one, else inferred. A node that joins no other needs none. */
  advertise(configured: HostPort | undefined, bound: HostPort, flag: string): HostPort {
    if (configured !== undefined) return configured;
    try {
      return inferAdvertiseAddress(bound, flag);
    } catch (error) {
      if (this.#config.join.length > 0) throw error;
      return { host: "127.0.0.1", port: bound.port };
    }
  }

  /** Tells the others where this node is, and begins to answer them. */
  start(proxyAddr: HostPort, adminAddr: HostPort, tlsPorts: readonly string[] = []): void {
    this.#proxyAddr = formatHostPort(proxyAddr);
    this.#adminAddr = formatHostPort(adminAddr);
    // Before the addresses, without which no node sends requests here.
    if (this.hopSecret !== undefined) announceHopSecret(this.gossip, this.hopSecret.toString("latin1"));
    announceAbout(this.gossip, this.#about);
    announceNode(this.gossip, this.#proxyAddr, this.#adminAddr, tlsPorts);
    this.gossip.start();
  }

  /**
   * Joins the nodes of `cluster.join`; resolves when one has answered and all that it knows are known, or when there is
   * nobody else. Rejects when none has answered in `join_timeout` and that is to be an end.
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
      const either = AbortSignal.any([signal, late.signal]);
      for (let delayMs = FIRST_JOIN_DELAY_MS; ; delayMs = Math.min(delayMs * 2, MAX_JOIN_DELAY_MS)) {
        const { failures, nodeIds, outcome, own } = await this.gossip.join(join, { signal: either });
        if (outcome !== "failed") {
          const message = outcome === "joined" ? "joined cluster" : "no other nodes found";
          this.#logger.info(message, { nodes: nodeIds });
          await this.gossip.settle(signal);
          return;
        }
        reasons = failures.map(describeFailure).join("; ");
        first = own;
        if (first && this.#clock.now() - startMs >= FIRST_NODE_PATIENCE_MS) break;
        this.#logger.warn("could not join cluster, trying again", { error: reasons, "delay-ms": delayMs });
        await this.#pause(delayMs, either);
      }
    } catch (error) {
      if (!late.signal.aborted || signal.aborted) throw error;
    } finally {
      this.#clock.clearTimeout(timer);
    }
    if (abortIfJoinFails && !first) throw new Error(`cluster join: ${reasons}`);
    this.#logger.warn("could not join cluster, continuing alone", { error: reasons });
  }

  /** How many listeners an endpoint has on this node, and whether all of them are doubtful. */
  setListeners(endpointId: string, count: number, doubtful: boolean): void {
    this.#announcements.set(endpointId, { count, doubtful });
  }

  /** This node stops: others ask it last from now on, and not at all for what they have themselves. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    announceDraining(this.gossip);
    this.#announcements.drain();
  }

  /** Whether there are nodes that agents of this one could move to. */
  get hasOthers(): boolean {
    for (const { draining, status } of this.table.nodes()) if (status === "active" && !draining) return true;
    return false;
  }

  /** Listeners of each other node that answers and doesn't drain; counts them, so for once a second. */
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

  /** Whether another node has listeners for the endpoint, and is no worse than `worst`. */
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

  /** Says to the others that this node goes, and gives it a moment to spread. */
  async leave(): Promise<void> {
    const confirmed = await this.gossip.leave();
    this.#logger.info("left cluster", { "confirmed-by": confirmed });
    // Those who did not hear it from a confirming node hear it from this one, which repeats it for some rounds.
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
