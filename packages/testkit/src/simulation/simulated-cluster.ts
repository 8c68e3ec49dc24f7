// A cluster on a simulated network: starts nodes, ends them in every way, and knows what each has learned about the others.
// The caller provides the nodes; this file only knows their actions and events.

import type { SeededRandom } from "../seeded-random.js";
import {
  type CrashKind,
  type NetworkConditions,
  SimulatedNetwork,
  type SimulatedTransport,
} from "../simulated-network.js";
import { SimulatedClock } from "./simulated-clock.js";
import { View } from "./view.js";

/** A node under simulation. */
export interface SimulatedNode {
  start(): void;
  join(addresses: readonly string[]): unknown;
  leave(): unknown;
  close(): unknown;
  upsertLocal(key: string, value: string): void;
  deleteLocal(key: string): void;
}

/** What a node is created with. */
export interface NodeSurroundings {
  readonly nodeId: string;
  readonly addr: string;
  readonly transport: SimulatedTransport;
  readonly clock: SimulatedClock;
  readonly random: () => number;
  /** Resolves join addresses; see {@link ALL_NODES}. */
  readonly resolve: (addresses: readonly string[]) => string[];
  /** Must be called for each change in the cluster. */
  readonly watch: View;
}

/** A name for all running nodes, like that of a headless service, and for those that ended last. */
export const ALL_NODES = "everybody";
/** Number of ended nodes that the name still includes. */
const STALE_RECORDS = 2;

/** Creates a node. */
export type CreateNode = (surroundings: NodeSurroundings) => SimulatedNode;

/** One run of a node; a restart under the same id is another one. */
export interface Life {
  readonly id: string;
  readonly ip: string;
  readonly addr: string;
  readonly node: SimulatedNode;
  readonly transport: SimulatedTransport;
  /** What the node was told about others. */
  readonly view: View;
  /** The keys that the node has set. */
  readonly keys: Map<string, string>;
}

export interface ClusterOptions {
  readonly random: SeededRandom;
  readonly create: CreateNode;
  readonly conditions?: Partial<NetworkConditions>;
  /** Called for each event that a node is told, after its view has been updated. */
  readonly onNotified?: (observer: string, what: string, id: string, key: string, value: string) => void;
}

/** How long a node still answers after it has left. */
export const LINGER_MS = 500;

/** Nodes, and the network between them. */
export class SimulatedCluster {
  readonly clock: SimulatedClock = new SimulatedClock();
  readonly network: SimulatedNetwork;
  /** Running nodes by id. */
  readonly alive: Map<string, Life> = new Map();
  readonly #options: ClusterOptions;
  #hosts = 0;
  readonly #ended: string[] = [];

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.network = new SimulatedNetwork(this.clock, options.random, options.conditions);
  }

  /** Starts a node on a new host, or on the given one, and makes it join addresses. */
  start(id: string, seeds: readonly string[], ip: string = this.#newIp()): Life {
    const addr = `${ip}:8003`;
    const transport = this.network.transport(addr);
    const view = new View(id, this.#options.onNotified);
    const { random, create } = this.#options;
    const node = create({
      nodeId: id,
      addr,
      transport,
      clock: this.clock,
      random: () => random.next(),
      resolve: (addresses) =>
        addresses.flatMap((address) => (address === ALL_NODES ? this.#allNodes() : [address])),
      watch: view,
    });
    const life: Life = { id, ip, addr, node, transport, view, keys: new Map() };
    this.alive.set(id, life);
    node.start();
    this.set(life, "proxy_addr", `${ip}:8000`);
    this.set(life, "admin_addr", `${ip}:8002`);
    if (seeds.length > 0) node.join(seeds);
    return life;
  }

  /** Sets one of a node's keys. */
  set(life: Life, key: string, value: string): void {
    life.keys.set(key, value);
    life.node.upsertLocal(key, value);
  }

  delete(life: Life, key: string): void {
    life.keys.delete(key);
    life.node.deleteLocal(key);
  }

  /** Ends a node without the node taking part. */
  crash(life: Life, kind: CrashKind): void {
    this.alive.delete(life.id);
    this.#ended.push(life.addr);
    this.network.crash(life.transport, kind);
    life.node.close();
  }

  /** Makes a node leave, and ends it a moment later. */
  leave(life: Life): void {
    this.alive.delete(life.id);
    this.#ended.push(life.addr);
    life.node.leave();
    this.clock.setTimeout(() => {
      this.network.crash(life.transport, "host");
      life.node.close();
    }, LINGER_MS);
  }

  /** Ends everything. */
  close(): void {
    for (const life of this.alive.values()) life.node.close();
  }

  run(ms: number, stop?: () => boolean): boolean {
    return this.clock.run(ms, stop);
  }

  /** Runs until every node knows all others and nothing else; returns the time that it took, or undefined after `ms`. */
  runUntilConverged(ms: number, stepMs = 20): number | undefined {
    const start = this.clock.now();
    while (this.clock.now() - start < ms) {
      if (this.difference() === undefined) return this.clock.now() - start;
      this.run(stepMs);
    }
    return this.difference() === undefined ? this.clock.now() - start : undefined;
  }

  /** The first difference between the nodes' tables and the correct one; undefined if there is none. */
  difference(): string | undefined {
    for (const observer of this.alive.values()) {
      for (const subject of this.alive.values()) {
        if (subject === observer) continue;
        const known = observer.view.nodes.get(subject.id);
        if (known === undefined) return `${observer.id} doesn't know ${subject.id}`;
        if (known.left) return `${observer.id} thinks that ${subject.id} has left`;
        if (known.unreachable) return `${observer.id} thinks that ${subject.id} is unreachable`;
        if (known.keys.size !== subject.keys.size)
          return `${observer.id} knows ${known.keys.size} keys of ${subject.id}, not ${subject.keys.size}`;
        for (const [key, value] of subject.keys) {
          if (known.keys.get(key) !== value)
            return `${observer.id} has ${known.keys.get(key)} for ${key} of ${subject.id}, not ${value}`;
        }
      }
      for (const id of observer.view.routable()) {
        if (!this.alive.has(id)) return `${observer.id} would route to ${id}, which is gone`;
      }
    }
    return undefined;
  }

  #allNodes(): string[] {
    const stale = this.#ended.slice(-STALE_RECORDS);
    return [...new Set([...[...this.alive.values()].map(({ addr }) => addr), ...stale])];
  }

  #newIp(): string {
    this.#hosts += 1;
    return `10.${this.#hosts >> 16}.${(this.#hosts >> 8) & 0xff}.${this.#hosts & 0xff}`;
  }
}
