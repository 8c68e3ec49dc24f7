// `npm run scale`: a cluster of real nodes with thousands of real tunnels, hundreds of which are replaced every second. Then
// the changes stop, and every node's table must be correct within 2 s. Prints what each node costs meanwhile.

import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { describeComplaints, explain, findStale } from "./scale/report.mjs";
import { startPiko } from "./soak/programs.mjs";

const HELP = `usage: npm run scale -- [options]
  --nodes N       nodes, each a process (default 25)
  --endpoints N   endpoints, each with a listener of its own (default 10000)
  --tunnels N     tunnels of each listener, to as many nodes (default 1)
  --churn N       listeners that are removed per second, and as many added (default 500)
  --seconds N     how long they are (default 20)
  --processes N   processes that hold the tunnels (default 4)
  --keys          encrypt gossip`;
const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: "25" },
    endpoints: { type: "string", default: "10000" },
    tunnels: { type: "string", default: "1" },
    churn: { type: "string", default: "500" },
    seconds: { type: "string", default: "20" },
    processes: { type: "string", default: "4" },
    keys: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const [nodeCount, endpoints, tunnels, churn, seconds, processes] = [
  values.nodes,
  values.endpoints,
  values.tunnels,
  values.churn,
  values.seconds,
  values.processes,
].map(Number);
const encryption = values.keys
  ? [
      "--cluster.gossip.encryption=required",
      `--cluster.gossip.secret-keys=${randomBytes(32).toString("base64")}`,
    ]
  : [];
/** Every table must be correct this long after the last change. */
const MAX_CONVERGENCE_MS = 2_000;
const GIVE_UP_MS = 60_000;
const TICKS_PER_SECOND = 100;

/** @param {string} url */
async function readJson(url) {
  return (await fetch(url)).json();
}

const pause = (/** @type {number} */ ms) => new Promise((resolve) => void setTimeout(resolve, ms));

/** CPU time of a process so far, in ms, and its current memory. */
function readUse(/** @type {number} */ pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
  const cpuMs = ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND;
  const kb = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
  return { cpuMs, rssMb: kb / 1_024 };
}

/** Runs something and prints what the nodes cost meanwhile. */
async function costs(/** @type {string} */ what, /** @type {() => Promise<unknown>} */ run) {
  const before = nodes.map(({ pid }) => readUse(pid));
  const traffic = await Promise.all(nodes.map(({ admin }) => readGossipBytes(admin)));
  const startMs = performance.now();
  await run();
  const elapsedMs = performance.now() - startMs;
  const after = nodes.map(({ pid }) => readUse(pid));
  const trafficAfter = await Promise.all(nodes.map(({ admin }) => readGossipBytes(admin)));
  const cpu = after.map(({ cpuMs }, i) => ((cpuMs - (before[i]?.cpuMs ?? 0)) / elapsedMs) * 100);
  const kb = trafficAfter.map((bytes, i) => (bytes - (traffic[i] ?? 0)) / elapsedMs);
  const rss = after.map(({ rssMb }) => rssMb);
  const cells = [mean(cpu), Math.max(...cpu), mean(rss), Math.max(...rss), mean(kb)].map((value) =>
    value.toFixed(1).padStart(9),
  );
  console.log(`${what.padEnd(34)}${cells.join("")}`);
}

/** Bytes of gossip that a node has sent and received. */
async function readGossipBytes(/** @type {string} */ admin) {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  let sum = 0;
  for (const line of text.split("\n"))
    if (/^piko_gossip_(packet|stream)_bytes_(in|out)bound(_total)?[ {]/.test(line))
      sum += Number(line.split(" ").at(-1));
  return sum;
}

function mean(/** @type {readonly number[]} */ list) {
  return list.reduce((sum, each) => sum + each, 0) / list.length;
}

/** Starts a node on ports that the system chooses. */
async function startNode(/** @type {number} */ index, /** @type {string | undefined} */ join) {
  const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
    (each) => `--${each}.bind-addr=127.0.0.1:0`,
  );
  const flags = [`--cluster.node-id=n${index}`, "--drain-delay=0s", ...encryption];
  if (join !== undefined) flags.push(`--cluster.join=${join}`);
  /** @type {Map<string, number>} */
  const complaints = new Map();
  const program = await startPiko(["server", ...ports, ...flags], "server started", (line) => {
    const [, what] = /"level":"(?:warn|error)".*?"msg":"([^"]*)"/.exec(line) ?? [];
    if (what !== undefined) complaints.set(what, (complaints.get(what) ?? 0) + 1);
  });
  const { admin, upstream, gossip } = program.record("server started");
  return {
    id: `n${index}`,
    pid: program.pid ?? 0,
    admin,
    url: `http://${upstream}`,
    gossip,
    complaints,
    end: program.end,
  };
}

/** Compares every table with the truth; returns the number of differences. */
async function differences(/** @type {Map<string, readonly string[]>} */ truth) {
  /** @type {Map<string, Set<string>>} */
  const expected = new Map(nodes.map(({ id }) => [id, new Set()]));
  for (const [endpoint, nodeIds] of truth) for (const id of nodeIds) expected.get(id)?.add(endpoint);
  let wrong = 0;
  for (const { admin } of nodes) {
    for (const { id } of nodes) {
      const { status, endpoints: listed } = await readJson(`http://${admin}/status/cluster/nodes/${id}`);
      const names = Object.keys(listed ?? {});
      const right = expected.get(id) ?? new Set();
      if (status !== "active" || names.length !== right.size || names.some((name) => !right.has(name)))
        wrong++;
    }
  }
  return wrong;
}

/** @returns {Promise<any>} */
async function request(
  /** @type {import("node:child_process").ChildProcess} */ child,
  /** @type {object} */ message,
) {
  child.send(message);
  const ended = once(child, "exit").then(() => {
    throw new Error("a process that holds tunnels has ended");
  });
  const [answer] = await Promise.race([once(child, "message"), ended]);
  return answer;
}

/** @type {Awaited<ReturnType<typeof startNode>>[]} */
const nodes = [await startNode(0, undefined)];
const [first] = nodes;
const rest = await Promise.all(
  Array.from({ length: nodeCount - 1 }, (_, i) => startNode(i + 1, first?.gossip)),
);
nodes.push(...rest);
const children = Array.from({ length: processes }, () =>
  fork(new URL("scale/listeners.mjs", import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] }),
);
const urls = nodes.map(({ url }) => url);
const requestAll = (/** @type {string} */ what, /** @type {number} */ total) =>
  Promise.all(
    children.map((child, i) =>
      request(child, { what, prefix: `endpoint-${i}`, urls, tunnels, count: Math.round(total / processes) }),
    ),
  );

let failed = false;
try {
  while ((await findStale(nodes)).length > 0) await pause(100);
  console.log(
    `${nodeCount} nodes, ${endpoints} endpoints with ${tunnels} tunnel${tunnels === 1 ? "" : "s"} each, ${churn} listeners replaced per second for ${seconds} s${values.keys ? ", encrypted" : ""}`,
  );
  console.log(`${"per node".padEnd(34)}    CPU %      max   RSS MB      max   kB/s`);
  await costs("idle, without endpoints", () => pause(5_000));
  const startMs = performance.now();
  await costs("opening them", () => requestAll("open", endpoints));
  console.log(`  opened in ${((performance.now() - startMs) / 1_000).toFixed(1)} s`);
  await costs("idle, with them", () => pause(10_000));
  /** @type {any[]} */
  let stopped = [];
  await costs("replacing", async () => {
    await requestAll("churn", churn);
    await pause(seconds * 1_000);
    stopped = await requestAll("stop", 0);
  });
  const lastMs = Math.max(...stopped.map(({ lastChangeMs }) => lastChangeMs));
  const changes = stopped.reduce((sum, each) => sum + each.changes, 0);
  let convergedMs = 0;
  do {
    const askedMs = Date.now();
    if ((await findStale(nodes)).length === 0) convergedMs = Math.max(1, askedMs - lastMs);
  } while (convergedMs === 0 && Date.now() - lastMs < GIVE_UP_MS);
  const truth = new Map(stopped.flatMap((each) => each.endpoints));
  const wrong = await differences(truth);
  console.log(`${changes} listeners replaced, ${(changes / seconds).toFixed(0)} per second`);
  console.log(
    `${truth.size} endpoints; tables right ${convergedMs} ms after the last change, ${wrong} of ${nodeCount ** 2} wrong`,
  );
  failed = wrong > 0 || convergedMs === 0 || convergedMs > MAX_CONVERGENCE_MS;
  if (failed) await explain(nodes);
  await costs("idle, afterwards", () => pause(5_000));
  console.log(`warnings and errors of the nodes: ${describeComplaints(nodes)}`);
} finally {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(nodes.map(({ end }) => end("SIGKILL")));
}
if (failed) console.log("FAILED");
process.exitCode = failed ? 1 : 0;
