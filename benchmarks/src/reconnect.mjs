// The cost of a server restart: it is killed with N tunnels open and started again at once, and the agents, all in one
// process, reconnect by themselves.
// @ts-check

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readProcessCpuUs } from "./cpu.mjs";
import { startServer } from "./subjects/piko.mjs";
import { freePorts, LOAD_CORE } from "./workbench.mjs";

const AGENTS = fileURLToPath(new URL("./reconnect-agents.mjs", import.meta.url));
const TIMEOUT_MS = 120_000;

/**
 * @typedef {object} ReconnectResult
 * @property {number} tunnels
 * @property {number} durationMs from the server's start until all tunnels are open
 * @property {number} attempts of all agents together
 * @property {number} serverCpuMs including its start
 * @property {number} agentsCpuMs
 */

/**
 * @param {import("./subjects/subject.mjs").SubjectContext} context
 * @param {number} tunnels
 * @returns {Promise<ReconnectResult>}
 */
export async function measureReconnect(context, tunnels) {
  const { bench } = context;
  const [port = 0] = await freePorts(1);
  const upstream = `127.0.0.1:${port}`;
  // All agents connect from one address.
  const unlimited = ["--upstream.limits.max-tunnels-per-client", "0"];
  const log = ["--log.level", "warn", "--log.subsystems", "server"];
  const flags = ["--upstream.bind-addr", upstream, ...log, ...unlimited];
  let server = await startServer(context, [], {}, flags);
  const agents = bench.start({
    name: "agents",
    command: context.options.nodeFile,
    args: [AGENTS, `http://${upstream}`, String(tunnels)],
    core: LOAD_CORE,
  });
  const allConnected = (/** @type {number} */ times) =>
    bench.waitFor(
      "agents",
      [agents],
      () => {
        const lines = readFileSync(agents.stdoutFile, "utf8").split("\n").slice(0, -1);
        return lines.length < times ? undefined : JSON.parse(lines[times - 1] ?? "");
      },
      TIMEOUT_MS,
    );
  try {
    const before = await allConnected(1);
    const agentsBefore = readProcessCpuUs(agents.pid);
    await server.program.kill();
    const startedAt = performance.now();
    server = await startServer(context, [], {}, flags);
    const after = await allConnected(2);
    return {
      tunnels,
      durationMs: performance.now() - startedAt,
      attempts: after.attempts - before.attempts,
      serverCpuMs: readProcessCpuUs(server.program.pid) / 1000,
      agentsCpuMs: (readProcessCpuUs(agents.pid) - agentsBefore) / 1000,
    };
  } finally {
    await agents.kill();
    await server.program.stop();
  }
}
