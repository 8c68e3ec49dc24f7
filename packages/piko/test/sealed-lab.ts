// Nodes with encrypted gossip, on a simulated network where someone can listen, record and send.

import { SeededRandom, SimulatedClock, SimulatedNetwork, View } from "@piko/testkit";
import { Gossip } from "../src/gossip/gossip.js";
import { Drops } from "../src/gossip/protocol/drops.js";
import type { JoinResult } from "../src/gossip/protocol/seeds.js";
import type { GossipTransport } from "../src/gossip/protocol/transport.js";
import { type GossipKey, createGossipKey } from "../src/gossip/sealed/gossip-key.js";
import { KeyRing } from "../src/gossip/sealed/key-ring.js";
import { type GossipEncryption, SealedTransport } from "../src/gossip/sealed/sealed-transport.js";

/** The nodes' key, unless they are given others. */
export const ONE: GossipKey = createGossipKey(Buffer.alloc(32, 1));

export interface Settings {
  encryption: GossipEncryption;
  keys: readonly GossipKey[];
  clusterName: string;
  aheadMs: number;
}

export interface SealedNode {
  readonly gossip: Gossip;
  readonly transport: SealedTransport;
  readonly view: View;
  readonly addr: string;
  readonly drops: Drops;
  readonly ring: KeyRing;
  readonly logged: { message: string; fields: object }[];
  result?: JoinResult;
}

/** A message that was sent over the network. */
export interface Captured {
  readonly to: string;
  readonly from: string;
  readonly bytes: Buffer;
  readonly tcp: boolean;
}

/** A network and the nodes on it. */
export class SealedLab {
  readonly clock: SimulatedClock = new SimulatedClock();
  readonly random: SeededRandom;
  readonly network: SimulatedNetwork;
  captured: Captured[] = [];
  #hosts = 0;

  constructor(seed = 1) {
    this.random = new SeededRandom(seed);
    this.network = new SimulatedNetwork(this.clock, this.random);
  }

  /** Starts a node on a host of its own; by default it requires encryption. */
  start(id: string, settings: Partial<Settings> = {}, seeds: string[] = []): SealedNode {
    const { encryption = "required", keys = [ONE], clusterName = "piko" } = settings;
    const addr = `10.0.0.${++this.#hosts}:8003`;
    const logged: SealedNode["logged"] = [];
    const log = (message: string, fields: object = {}): void => void logged.push({ message, fields });
    const logger = { debug: () => {}, info: log, warn: log };
    const drops = new Drops(this.clock, logger);
    const ring = new KeyRing(clusterName, keys);
    const transport = new SealedTransport({
      transport: this.tap(addr, this.network.transport(addr)),
      encryption,
      keys: ring,
      lifeId: Buffer.from(this.random.bytes(16)),
      maxClockSkewMs: 60_000,
      drops,
      clock: this.clock,
      wallNow: () => 1_700_000_000_000 + this.clock.now() + (settings.aheadMs ?? 0),
    });
    const view = new View(id);
    const gossip = new Gossip({
      nodeId: id,
      addr,
      transport,
      watch: view,
      clock: this.clock,
      random: () => this.random.next(),
      resolve: (addresses, done) => done({ targets: addresses, failures: [] }),
      logger,
    });
    gossip.start();
    const node: SealedNode = { gossip, transport, view, addr, drops, ring, logged };
    if (seeds.length > 0) void gossip.join(seeds).then((result) => (node.result = result));
    return node;
  }

  /** The same transport, but recorded. */
  tap(from: string, inner: GossipTransport): GossipTransport {
    return {
      attach: (receiver) => inner.attach(receiver),
      sendPacket: (to, packet) => {
        this.captured.push({ to, from, bytes: packet, tcp: false });
        inner.sendPacket(to, packet);
      },
      exchange: (to, request, end, timeoutMs, done) => {
        this.captured.push({ to, from, bytes: request, tcp: true });
        return inner.exchange(to, request, end, timeoutMs, (error, response) => {
          this.captured.push({ to: from, from: to, bytes: response, tcp: true });
          done(error, response);
        });
      },
      comesFrom: (address, ip) => inner.comesFrom(address, ip),
      close: () => inner.close(),
    };
  }

  /** Advances time by `ms`, and lets promises settle in between. */
  async run(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.run(Math.min(left, 100));
      for (let i = 0; i < 4; i++) await Promise.resolve();
    }
  }

  /** Sends bytes to a node from an address, as anyone can. */
  send(from: string, to: string, bytes: Buffer): void {
    this.network.sendPacket(this.network.transport(from), to, bytes);
  }
}

/** Number of messages that a node has dropped, by reason. */
export function dropped(node: SealedNode): Record<string, number> {
  return Object.fromEntries([...node.drops.counts].filter(([, count]) => count > 0));
}

/** Whether the nodes know all others and no one else. */
export function isWhole(...nodes: SealedNode[]): boolean {
  return nodes.every(({ view }) => view.routable().length === nodes.length - 1);
}
