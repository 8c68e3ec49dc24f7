// A simulated cluster whose listeners come and go: what gossip costs meanwhile, which nodes are wrongly seen as dead, and
// how long after the last change every table is correct. `npm run scale` does the same with real nodes.

import {
  ALL_NODES,
  SeededRandom,
  SimulatedCluster,
  SimulatedMachine,
} from "../../packages/testkit/dist/index.js";
import { nodeFactory } from "./nodes.mjs";

const STEP_MS = 10;
const OPENING_S = 20;
const IDLE_MS = 5_000;
const ENOUGH_PROCESSORS = 2;
/** Every table must be correct this long after the last change, if there was enough CPU. */
const MAX_CONVERGENCE_MS = 2_000;
const GIVE_UP_MS = 60_000;

/** Runs one simulation; returns whether no node was wrongly seen as dead and all tables were correct in time. */
export function runChurn({ nodes, endpoints, tunnels, churn, seconds, processors, keys, seed }) {
  const random = new SeededRandom(seed);
  let falseDeaths = 0;
  let machine;
  /** @type {{ counters: any, overhead: any }[]} */
  const counted = [];
  const cluster = new SimulatedCluster({
    random,
    create: nodeFactory({
      keys,
      machine: (clock) => (machine ??= new SimulatedMachine(clock, ENOUGH_PROCESSORS)),
      onStarted: (counts) => counted.push(counts),
    }),
    conditions: { delayMs: [0.1, 2] },
    onNotified: (_observer, what) => {
      if (what === "unreachable") falseDeaths += 1;
    },
  });
  for (let i = 0; i < nodes; i++) cluster.start(`n${i}`, [ALL_NODES]);
  const lives = [...cluster.alive.values()];
  const open = [];
  let opened = 0;
  const add = () => {
    const key = `endpoint:endpoint-${opened}`;
    const at = Array.from({ length: tunnels }, (_, i) => lives[(opened + i * 7) % nodes]);
    for (const life of at) cluster.set(life, key, "1");
    open.push({ key, at });
    opened += 1;
  };
  const remove = () => {
    const [{ key, at }] = open.splice(random.int(0, open.length - 1), 1);
    for (const life of at) cluster.delete(life, key);
  };
  /** Runs a phase, with `perSecond` calls of `act` a second, and prints what it cost. */
  const phase = (what, ms, perSecond = 0, act = () => {}) => {
    const [bytes, exchanges, deaths] = [bytesOf(counted), cluster.network.exchanges, falseDeaths];
    let due = 0;
    for (let left = ms; left > 0; left -= STEP_MS) {
      for (due += (perSecond * STEP_MS) / 1_000; due >= 1; due--) act();
      cluster.run(STEP_MS);
    }
    const cells = [
      ((bytesOf(counted) - bytes) / nodes / ms).toFixed(1),
      cluster.network.exchanges - exchanges,
      falseDeaths - deaths,
    ];
    console.log(what.padEnd(34) + cells.map((cell) => `${cell}`.padStart(14)).join(""));
  };
  console.log(
    `${nodes} nodes, ${endpoints} endpoints with ${tunnels} tunnel${tunnels === 1 ? "" : "s"} each, ${churn} listeners replaced per second for ${seconds} s${keys ? ", encrypted" : ""}`,
  );
  console.log(
    `${"".padEnd(34)}${["kB/s per node", "exchanges", "false deaths"].map((cell) => cell.padStart(14)).join("")}`,
  );
  phase("idle, without endpoints", IDLE_MS);
  machine.processors = processors ?? ENOUGH_PROCESSORS;
  phase("opening them", OPENING_S * 1_000, endpoints / OPENING_S, add);
  phase("idle, with them", IDLE_MS);
  phase("replacing", seconds * 1_000, churn, () => {
    remove();
    add();
  });
  machine.processors = ENOUGH_PROCESSORS;
  const convergedMs = cluster.runUntilConverged(GIVE_UP_MS);
  console.log(
    convergedMs === undefined
      ? `tables not right within a minute: ${cluster.difference()}`
      : `tables right ${convergedMs} ms after the last change${processors === undefined ? "" : ", and since there is enough CPU"}`,
  );
  phase("idle, afterwards", IDLE_MS);
  cluster.close();
  const limitMs = processors === undefined ? MAX_CONVERGENCE_MS : GIVE_UP_MS;
  return falseDeaths === 0 && convergedMs !== undefined && convergedMs <= limitMs;
}

function bytesOf(counted) {
  let sum = 0;
  for (const { counters, overhead } of counted)
    for (const of of [
      "streamBytesInbound",
      "streamBytesOutbound",
      "packetBytesInbound",
      "packetBytesOutbound",
    ])
      sum += counters[of] + (overhead?.[of] ?? 0);
  return sum;
}
