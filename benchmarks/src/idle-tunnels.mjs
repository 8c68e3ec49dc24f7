// The cost of an idle tunnel: how much N tunnels, each on an endpoint of its own, make piko's server grow, measured after
// garbage collection. A tenth more tunnels are opened before the first reading, so that code and tables that every server
// has once don't count.
// @ts-check

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startServer } from "./subjects/piko.mjs";
import { TunnelClient } from "./tunnel-client.mjs";

const MEMORY_PROBE = new URL("./memory-probe.mjs", import.meta.url).href;
/** Maximum upgrades in progress at once. */
const CONCURRENCY = 50;

/**
 * @typedef {object} IdleResult
 * @property {number} tunnels
 * @property {number} residentBytesPerTunnel
 * @property {number} heapBytesPerTunnel
 * @property {number} residentBytes of the whole server with all tunnels
 *
 * @typedef {{ rss: number, heapUsed: number, external: number }} Memory
 */

/**
 * @param {import("./subjects/subject.mjs").SubjectContext} context
 * @param {number} tunnels
 * @returns {Promise<IdleResult>}
 */
export async function measureIdleTunnels(context, tunnels) {
  const memoryFile = join(context.bench.directory, "memory.jsonl");
  // All tunnels come from one address.
  const flags = ["--upstream.limits.max-tunnels-per-client", "0"];
  const nodeArgs = ["--expose-gc", "--import", MEMORY_PROBE];
  const server = await startServer(context, nodeArgs, { BENCH_MEMORY_FILE: memoryFile }, flags);
  /** @type {TunnelClient[]} */
  const clients = [];
  try {
    await openTunnels(server.upstream, Math.ceil(tunnels / 10), clients);
    const before = await readMemory(context.bench, server.program, memoryFile);
    await openTunnels(server.upstream, tunnels, clients);
    const after = await readMemory(context.bench, server.program, memoryFile);
    const failure = clients.find((client) => client.failure !== undefined)?.failure;
    if (failure !== undefined) throw new Error("an idle tunnel ended", { cause: failure });
    return {
      tunnels,
      residentBytesPerTunnel: (after.rss - before.rss) / tunnels,
      heapBytesPerTunnel: (after.heapUsed - before.heapUsed) / tunnels,
      residentBytes: after.rss,
    };
  } finally {
    for (const client of clients) client.close();
    await server.program.stop();
  }
}

/**
 * @param {string} address
 * @param {number} count
 * @param {TunnelClient[]} clients gets the new ones
 */
async function openTunnels(address, count, clients) {
  let opened = 0;
  const openSome = async () => {
    while (opened < count) {
      opened += 1;
      clients.push(await TunnelClient.open(address, `bench-${clients.length}-${opened}`));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, openSome));
}

/**
 * Makes the server collect garbage and report its memory.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./workbench.mjs").Program} program
 * @param {string} file
 * @returns {Promise<Memory>}
 */
async function readMemory(bench, program, file) {
  const lines = () => (existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : []);
  const known = lines().length;
  process.kill(program.pid, "SIGUSR2");
  return bench.waitFor("memory of the server", [program], () => {
    const line = lines()[known];
    return line === undefined ? undefined : /** @type {Memory} */ (JSON.parse(line));
  });
}
