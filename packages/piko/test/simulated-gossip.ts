// Nodes for simulations: gossip on a simulated network, encrypted or not, with as much CPU as they need or on one machine.

import type { BusyTransport, CreateNode, SimulatedClock, SimulatedMachine } from "@piko/testkit";
import type { Clock } from "@piko/tunnel";
import { Gossip } from "../src/gossip/gossip.js";
import { Drops } from "../src/gossip/protocol/drops.js";
import { createGossipKey } from "../src/gossip/sealed/gossip-key.js";
import { KeyRing } from "../src/gossip/sealed/key-ring.js";
import { SealedTransport } from "../src/gossip/sealed/sealed-transport.js";

const KEY = createGossipKey(Buffer.alloc(32, 1));
const SILENT = { debug: () => {}, info: () => {}, warn: () => {} };

/** Options of the nodes; by default their ids are random, and there are no keys. */
export interface SimulatedGossipOptions {
  /** Whether ids are configured and may have been used before. */
  readonly initialVersions?: boolean;
  /** Whether gossip is encrypted. */
  readonly keys?: boolean;
  /** Creates the machine that all nodes run on, from the first node's clock. */
  readonly machine?: (clock: SimulatedClock) => SimulatedMachine;
}

/** Creates nodes of a simulated cluster. */
export function simulatedGossip(options: SimulatedGossipOptions = {}): CreateNode {
  return ({ nodeId, addr, transport, clock, random, watch, resolve }) => {
    const process = options.machine?.(clock).process();
    const wire = process?.transport(transport) ?? transport;
    const gossip = new Gossip({
      nodeId,
      addr,
      transport: options.keys === true ? seal(wire, clock, random) : wire,
      clock: process?.clock ?? clock,
      random,
      watch,
      initialVersion: options.initialVersions === true ? Math.floor(clock.now()) : 0,
      resolve: (addresses, done) => done({ targets: resolve(addresses), failures: [] }),
    });
    return {
      start: () => gossip.start(),
      // A node may end before it has joined.
      join: (addresses) => void gossip.join(addresses).catch(() => {}),
      leave: () => void gossip.leave(),
      close: () => void gossip.close(),
      upsertLocal: (key, value) => gossip.upsertLocal(key, value),
      deleteLocal: (key) => gossip.deleteLocal(key),
    };
  };
}

/** The encrypting transport of a node. */
function seal(transport: BusyTransport, clock: Clock, random: () => number): SealedTransport {
  return new SealedTransport({
    transport,
    encryption: "required",
    keys: new KeyRing("piko", [KEY]),
    lifeId: Buffer.from(Array.from({ length: 16 }, () => Math.floor(random() * 256))),
    maxClockSkewMs: 60_000,
    drops: new Drops(clock, SILENT),
    clock,
    wallNow: () => 1_700_000_000_000 + clock.now(),
  });
}
