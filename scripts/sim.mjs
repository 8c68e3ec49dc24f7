// `npm run sim`: measures gossip on a simulated network. Prints, by cluster size, how long a change takes to reach every
// node, and how long it takes until all know that a node is dead. With --scenarios it runs random histories of clusters
// instead, which check the guarantees; a seed that breaks one is printed with its history. With --endpoints, listeners come
// and go, on machines with as much CPU as they need or with less.
//
//   npm run sim -- --nodes 200 --loss 0.1 --seeds 1000
//   npm run sim -- --scenarios 1000 --from 1
//   npm run sim -- --nodes 25 --keys
//   npm run sim -- --nodes 25 --endpoints 10000 --tunnels 2 --churn 500 --processors 0.5

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { ALL_NODES, SeededRandom, SimulatedCluster, runScenario } from "../packages/testkit/dist/index.js";
import { runChurn } from "./sim/churn.mjs";
import { nodeFactory } from "./sim/nodes.mjs";

const SIZES = [3, 5, 10, 25, 50, 100, 200];
/** Number of measurements that share a cluster, because its start costs more than a measurement. */
const BATCH = 25;

const OPTIONS = {
  nodes: { type: "string", default: "50" },
  loss: { type: "string", default: "0" },
  delay: { type: "string", default: "2" },
  seeds: { type: "string", default: "100" },
  from: { type: "string", default: "1" },
  scenarios: { type: "string" },
  endpoints: { type: "string" },
  tunnels: { type: "string", default: "1" },
  churn: { type: "string", default: "500" },
  seconds: { type: "string", default: "20" },
  processors: { type: "string" },
  keys: { type: "boolean", default: false },
  jobs: { type: "string", default: `${availableParallelism()}` },
  help: { type: "boolean", default: false },
};

const HELP = `usage: npm run sim -- [options]
  --nodes N      largest cluster (default 50): sizes of ${SIZES.join(", ")} up to it, and it
  --loss P       part of the packets that is lost, 0 to 1 (default 0)
  --delay MS     longest time that a packet takes (default 2)
  --seeds N      measurements per size (default 100)
  --from N       first seed (default 1)
  --scenarios N  run N random scenarios instead
  --endpoints N  replace listeners of N endpoints all the time instead, on --nodes nodes
  --tunnels N    tunnels of each listener, to as many nodes (default 1)
  --churn N      listeners that are removed per second, and as many added (default 500)
  --seconds N    how long they are (default 20)
  --processors P CPU of all nodes meanwhile, in processors; the rest of the time they have two
  --keys         encrypt gossip
  --jobs N       threads (default: one per processor)`;

/** Measures the times of a batch of changes, and of one death, in one cluster. */
function measure({ nodes, loss, delay, keys, seed, count }) {
  const random = new SeededRandom(seed);
  let awaited;
  let dead;
  let falseDeaths = 0;
  const onNotified = (observer, what, id, _key, value) => {
    if (what === "upsert" && awaited?.id === id && awaited.value === value) awaited.learned += 1;
    if (what === "unreachable" && dead?.id === id) dead.learned += 1;
    else if (what === "unreachable") falseDeaths += 1;
  };
  const conditions = { loss, delayMs: [Math.min(0.2, delay), delay] };
  const cluster = new SimulatedCluster({ random, create: nodeFactory({ keys }), conditions, onNotified });
  for (let i = 0; i < nodes; i++) cluster.start(`n${i}`, [ALL_NODES]);
  if (cluster.runUntilConverged(60_000, 100) === undefined) {
    throw new Error(`${nodes} nodes, seed ${seed}: no convergence: ${cluster.difference()}`);
  }
  cluster.run(3_000);
  const { clock, network } = cluster;
  const cpu = process.cpuUsage();
  const idle = { at: clock.now(), bytes: network.packetBytes, packets: network.packets };
  cluster.run(1_000);
  const seconds = ((clock.now() - idle.at) / 1_000) * nodes;
  const bytes = (network.packetBytes - idle.bytes) / seconds;
  const packets = (network.packets - idle.packets) / seconds;
  const { user, system } = process.cpuUsage(cpu);
  // CPU time of gossip without sockets, for one node and second. Other threads of the process count too.
  const cpuMs = (user + system) / 1_000 / seconds;
  const spread = [];
  for (let i = 0; i < count; i++) {
    cluster.run(random.int(1, 150));
    const life = random.pick([...cluster.alive.values()]);
    awaited = { id: life.id, value: `${seed}-${i}`, learned: 0 };
    const start = clock.now();
    cluster.set(life, "endpoint:measured", awaited.value);
    if (!cluster.run(60_000, () => awaited.learned === nodes - 1)) {
      throw new Error(`${nodes} nodes, seed ${seed}: a change has not reached all within a minute`);
    }
    spread.push(clock.now() - start);
  }
  const victim = random.pick([...cluster.alive.values()]);
  dead = { id: victim.id, learned: 0 };
  const start = clock.now();
  cluster.crash(victim, "host");
  cluster.run(10_000, () => dead.learned === nodes - 1);
  const detection = clock.now() - start;
  cluster.close();
  return { spread, detection, falseDeaths, bytes, packets, cpuMs };
}

function scenario({ keys, seed }) {
  return runScenario({
    create: nodeFactory({ keys }),
    seed,
    nodes: 8,
    loss: 0.3,
    steps: 30,
    detectMs: 3_200,
    leaveMs: 1_000,
    convergeMs: 15_000,
    reuseIds: true,
  });
}

/** Runs tasks on several threads; the results are in the order of the tasks. */
async function runAll(kind, tasks, jobs) {
  const results = [];
  let next = 0;
  const work = async () => {
    const worker = new Worker(new URL(import.meta.url), { workerData: kind });
    try {
      while (next < tasks.length) {
        const index = next++;
        worker.postMessage(tasks[index]);
        const answer = await new Promise((resolve, reject) => {
          worker.once("message", resolve);
          worker.once("error", reject);
        });
        worker.removeAllListeners("error");
        if (answer.error !== undefined) throw new Error(answer.error);
        results[index] = answer.result;
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, tasks.length) }, work));
  return results;
}

function percentile(sorted, part) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

function printRow(cells) {
  console.log(cells.map((cell, i) => `${cell}`.padStart(i === 0 ? 6 : 13)).join(""));
}

async function main() {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const number = (name) => {
    const value = Number(values[name]);
    if (!(value >= 0)) throw new Error(`--${name} ${values[name]} is not a number`);
    return value;
  };
  const [from, jobs] = [number("from"), Math.max(1, number("jobs"))];
  if (values.endpoints !== undefined) {
    const processors = values.processors === undefined ? undefined : number("processors");
    const [nodes, endpoints, tunnels] = [number("nodes"), number("endpoints"), number("tunnels")];
    const [churn, seconds] = [number("churn"), number("seconds")];
    const { keys } = values;
    if (!runChurn({ nodes, endpoints, tunnels, churn, seconds, processors, keys, seed: from }))
      process.exitCode = 1;
    return;
  }
  if (values.scenarios !== undefined) {
    const tasks = Array.from({ length: number("scenarios") }, (_, i) => ({
      keys: values.keys,
      seed: from + i,
    }));
    const results = await runAll("scenario", tasks, jobs);
    const times = results.map(({ convergedMs }) => convergedMs).toSorted((a, b) => a - b);
    const hours = results.reduce((sum, { simulatedMs }) => sum + simulatedMs, 0) / 3_600_000;
    console.log(`${results.length} scenarios (${hours.toFixed(1)} hours) kept every promise;`);
    console.log(
      `right after the last event: median ${percentile(times, 0.5)} ms, p99 ${percentile(times, 0.99)} ms`,
    );
    return;
  }
  const [largest, loss, delay, seeds] = [number("nodes"), number("loss"), number("delay"), number("seeds")];
  console.log(
    `loss ${loss}, delay up to ${delay} ms, ${seeds} changes per size, interval 100 ms; times in ms`,
  );
  printRow(["nodes", "median", "p99", "max", "death max", "false deaths", "packets/s", "B/s", "CPU ms/s"]);
  for (const nodes of [...new Set([...SIZES.filter((size) => size < largest), largest])]) {
    const tasks = [];
    for (let done = 0; done < seeds; done += BATCH) {
      const count = Math.min(BATCH, seeds - done);
      tasks.push({ nodes, loss, delay, keys: values.keys, seed: from + done, count });
    }
    const results = await runAll("measure", tasks, jobs);
    const times = results.flatMap(({ spread }) => spread).toSorted((a, b) => a - b);
    const mean = (key) => Math.round(results.reduce((sum, result) => sum + result[key], 0) / results.length);
    printRow([
      nodes,
      Math.round(percentile(times, 0.5)),
      Math.round(percentile(times, 0.99)),
      Math.round(times.at(-1)),
      Math.round(Math.max(...results.map(({ detection }) => detection))),
      results.reduce((sum, { falseDeaths }) => sum + falseDeaths, 0),
      mean("packets"),
      mean("bytes"),
      (results.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / results.length).toFixed(1),
    ]);
  }
}

if (isMainThread) {
  try {
    await main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
} else {
  const run = workerData === "scenario" ? scenario : measure;
  parentPort.on("message", (task) => {
    try {
      parentPort.postMessage({ result: run(task) });
    } catch (error) {
      parentPort.postMessage({ error: error.message });
    }
  });
}
