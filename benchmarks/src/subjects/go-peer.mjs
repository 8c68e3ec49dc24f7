// The libraries of Go Piko as a server and an agent (tests/interop/peer), with TLS on both ports. Only for bulk: it writes
// no log and keeps no metrics.
// @ts-check

import { readFileSync } from "node:fs";
import { SUBJECT_CORE } from "../workbench.mjs";

/**
 * @param {import("../workbench.mjs").Workbench} bench
 * @param {string} file of the built peer
 * @param {number} backendPort
 * @param {{ cert: string, key: string, ca: string }} tls
 */
export async function startGoPeer(bench, file, backendPort, { ca, cert, key }) {
  const start = (/** @type {string} */ role, /** @type {string[]} */ ...args) =>
    bench.start({ name: `go-${role}`, command: file, args: [role, ...args], core: SUBJECT_CORE });
  const event = (/** @type {import("../workbench.mjs").Program} */ program, /** @type {string} */ name) =>
    bench.waitFor(name, [program], () =>
      readFileSync(program.stdoutFile, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => /** @type {Record<string, unknown>} */ (JSON.parse(line)))
        .find((line) => line["event"] === name),
    );
  const server = start("server", "--tls-cert", cert, "--tls-key", key);
  const { proxy, upstream } = await event(server, "server started");
  const target = `127.0.0.1:${backendPort}`;
  const where = ["--url", `https://${String(upstream)}`, "--endpoint", "bench", "--target", target];
  const agent = start("agent", ...where, "--tls-cas", ca);
  await event(agent, "connected");
  return { proxy: String(proxy), pids: [server.pid, agent.pid] };
}
