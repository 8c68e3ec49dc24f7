// Nodes for the simulations of `npm run sim`: the server's gossip, and nothing else.

import { Gossip } from "../../packages/piko/dist/gossip/gossip.js";
import { Drops } from "../../packages/piko/dist/gossip/protocol/drops.js";
import { createGossipKey } from "../../packages/piko/dist/gossip/sealed/gossip-key.js";
import { KeyRing } from "../../packages/piko/dist/gossip/sealed/key-ring.js";
import { SealedTransport } from "../../packages/piko/dist/gossip/sealed/sealed-transport.js";

const SILENT = { debug: () => {}, info: () => {}, warn: () => {} };
const KEY = createGossipKey(Buffer.alloc(32, 1));

/** The encrypting transport of a node. */
function seal(transport, clock, random) {
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

/**
 * Returns a function that creates the nodes of a simulated cluster. `keys`: whether gossip is encrypted. `machine`: creates
 * the machine that they share, from the first node's clock; by default they have all the CPU that they need. `onStarted`
 * gets each node's counters.
 */
export function nodeFactory({ keys, machine, onStarted }) {
  return ({ nodeId, addr, transport, clock, random, watch, resolve }) => {
    const process = machine?.(clock).process();
    const wire = process?.transport(transport) ?? transport;
    const sealed = keys ? seal(wire, clock, random) : undefined;
    const gossip = new Gossip({
      nodeId,
      addr,
      transport: sealed ?? wire,
      clock: process?.clock ?? clock,
      random,
      watch,
      initialVersion: Math.floor(clock.now()),
      resolve: (addresses, done) => done({ targets: resolve(addresses), failures: [] }),
    });
    onStarted?.({ counters: gossip.counters, overhead: sealed?.overhead });
    return {
      start: () => gossip.start(),
      join: (addresses) => gossip.join(addresses).catch(() => {}),
      leave: () => gossip.leave(),
      close: () => gossip.close(),
      upsertLocal: (key, value) => gossip.upsertLocal(key, value),
      deleteLocal: (key) => gossip.deleteLocal(key),
    };
  };
}
