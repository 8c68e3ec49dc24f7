// 10,000 requests with as many different RS256 tokens at once: the longest pause of the server's event loop, and how long
// other requests wait whose tokens are known. Part of `npm run bench -- --tokens`.
// @ts-check

import { existsSync, readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { HOST } from "./load.mjs";

const REQUESTS = 10_000;
const CONNECTIONS = 64;
const PROBE_MS = 5;
/** The longest pause should stay below this. */
const AIM_MS = 20;
export const PAUSE_PROBE = new URL("./pause-probe.mjs", import.meta.url).href;

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {{ program: import("./workbench.mjs").Program, proxy: string }} server has `PAUSE_PROBE`, and writes to `file`
 * @param {string} path of the requests
 * @param {string} file
 * @param {(id: number) => string} makeToken makes a different token for each id
 * @param {(message: string) => void} say
 * @returns {Promise<string>}
 */
export async function measureCrowd(bench, server, path, file, makeToken, say) {
  say(`making ${REQUESTS} tokens`);
  const tokens = Array.from({ length: REQUESTS }, (_, id) => makeToken(id));
  const known = makeToken(-1);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const own = new Agent({ keepAlive: true, maxSockets: 1 });
  /** @param {string} token @param {Agent} by */
  const ask = async (token, by) => {
    const status = await get(server.proxy, path, token, by);
    if (status !== 200) throw new Error(`status ${status}`);
  };
  /** @param {() => Promise<unknown>} act */
  const latencyDuring = async (act) => {
    /** @type {number[]} */
    const latencies = [];
    const over = new AbortController();
    const probing = (async () => {
      while (!over.signal.aborted) {
        const startMs = performance.now();
        await ask(known, own);
        latencies.push(performance.now() - startMs);
        await delay(PROBE_MS);
      }
    })();
    await longestPause(bench, server.program, file);
    await act();
    over.abort();
    await probing;
    latencies.sort((a, b) => a - b);
    return {
      p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
      longestMs: latencies[latencies.length - 1] ?? 0,
    };
  };
  await ask(known, own);
  const alone = await latencyDuring(() => delay(2_000));
  const aloneMs = await longestPause(bench, server.program, file);
  say(`${REQUESTS} requests with new tokens`);
  const startMs = performance.now();
  const beside = await latencyDuring(async () => {
    await Promise.all(tokens.map((token) => ask(token, agent)));
  });
  const tookMs = performance.now() - startMs;
  const besideMs = await longestPause(bench, server.program, file);
  agent.destroy();
  own.destroy();
  const ms = (/** @type {number} */ value) => value.toFixed(1);
  return [
    `${REQUESTS} requests with as many different RS256 tokens over ${CONNECTIONS} connections, in ${(tookMs / 1_000).toFixed(1)} s:`,
    "",
    `- longest pause of the server's event loop: ${ms(besideMs)} ms (aim: ${AIM_MS}; without them ${ms(aloneMs)})`,
    `- a request with a known token waits ${ms(beside.p99Ms)} ms (p99; without them ${ms(alone.p99Ms)}), ${ms(beside.longestMs)} ms at most (${ms(alone.longestMs)})`,
    "",
  ].join("\n");
}

/**
 * @param {string} proxy
 * @param {string} path
 * @param {string} token
 * @param {Agent} agent
 * @returns {Promise<number>}
 */
function get(proxy, path, token, agent) {
  const [host, port] = proxy.split(":");
  return new Promise((resolve, reject) => {
    const headers = { host: HOST, authorization: `Bearer ${token}` };
    const outgoing = request({ host, port, path, headers, agent }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

/**
 * The longest pause since the previous call.
 *
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./workbench.mjs").Program} program
 * @param {string} file
 * @returns {Promise<number>}
 */
async function longestPause(bench, program, file) {
  const lines = () => (existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : []);
  const known = lines().length;
  process.kill(program.pid, "SIGUSR2");
  return bench.waitFor("pause of the server", [program], () => {
    const line = lines()[known];
    return line === undefined ? undefined : Number(JSON.parse(line).longestMs);
  });
}
