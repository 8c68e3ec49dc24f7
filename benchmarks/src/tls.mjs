// `npm run bench -- --tls`: the cost of a tunnel over TLS in a server and its agent, compared with a plain one, for small
// requests and bulk. There are two servers and two agents, measured in alternating windows by the CPU time of both programs.
// Also measures the same bytes in Node itself.
// @ts-check

import { CertificateWorkshop } from "@piko/testkit";
import { startBackend } from "./backend.mjs";
import { compare, alternate } from "./by-turns.mjs";
import { selectCases } from "./cases.mjs";
import { readProcessCpuUs, readProcessUserUs } from "./cpu.mjs";
import { runCurl, runWrk } from "./load.mjs";
import { startGoPeer } from "./subjects/go-peer.mjs";
import { startAgent, startServer } from "./subjects/piko.mjs";
import { startBareExchange } from "./tls-floor.mjs";

const MIB = 1024 * 1024;
/** Maximum CPU time of a small request over TLS, as a multiple of a plain one. */
const MAX_RATIO = 1.3;

/**
 * The cost of a window of load, per request.
 * @typedef {object} Cost
 * @property {number} cpuUs
 * @property {number} userUs the part outside the kernel
 *
 * Something that can be put under load.
 * @typedef {object} Loaded
 * @property {readonly number[]} pids
 * @property {(seconds: number) => Promise<number>} run resolves to the number of requests
 */

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureTls({ bench, options }, say) {
  const { backendPort } = await startBackend(bench);
  const workshop = new CertificateWorkshop();
  try {
    const ca = workshop.authority("ca");
    const { cert, key } = workshop.sign(ca, "server");
    const plain = await start([], "http", []);
    const files = ["--upstream.tls.cert", cert, "--upstream.tls.key", key];
    const secure = await start(files, "https", ["--connect.tls.root-cas", ca.cert]);
    const lines = [
      `${options.rounds} rounds of ${options.seconds} s by turns, CPU time per request, plain and over TLS (user time of it):`,
      "",
    ];
    let met = true;
    const wanted = options.cases.length === 0 ? ["small", "medium", "large"] : options.cases;
    for (const each of selectCases(wanted)) {
      if (each.kind !== "load") continue;
      const through = (/** @type {Awaited<ReturnType<typeof start>>} */ { pids, proxy }) => ({
        pids,
        run: async (/** @type {number} */ seconds) =>
          (await runWrk(bench, `http://${proxy}`, each, seconds)).requests,
      });
      const tunnel = await compareCosts(`${each.title}, tunnel`, through(plain), through(secure));
      if (each.name === "small") met = tunnel.cpu.ratio - tunnel.cpu.half <= MAX_RATIO;
      const judged = each.name === "small" ? `, ${met ? "within" : "above"} ${MAX_RATIO}` : "";
      lines.push(`- ${each.title}: ${describe(tunnel)}${judged}`);
      const bare = await startBareExchange(bench, each);
      const bareSecure = await startBareExchange(bench, each, { cert, key, ca: ca.cert });
      lines.push(`  - bare: ${describe(await compareCosts(`${each.title}, bare`, bare, bareSecure))}`);
      await bare.stop();
      await bareSecure.stop();
    }
    if (options.goPeerFile !== undefined) {
      lines.push(await compareToGo(options.goPeerFile, { cert, key, ca: ca.cert }));
    }
    return { report: `${lines.join("\n")}\n`, met };
  } finally {
    workshop[Symbol.dispose]();
  }

  /**
   * One download over TLS through both, compared with the same through a Go server and a Go agent.
   * @param {string} file
   * @param {{ cert: string, key: string, ca: string }} tls
   */
  async function compareToGo(file, { ca, cert, key }) {
    const flags = ["proxy", "upstream"].flatMap((port) => [
      ...[`--${port}.tls.cert`, cert, `--${port}.tls.key`, key],
    ]);
    const ours = await start(flags, "https", ["--connect.tls.root-cas", ca]);
    const go = await startGoPeer(bench, file, backendPort, { ca, cert, key });
    const [bulk] = selectCases(["bulk"]);
    if (bulk?.kind !== "bulk") throw new Error("no case of one download");
    let downloadUs = 0;
    const load = (/** @type {{ proxy: string, pids: number[] }} */ { pids, proxy }) => ({
      pids,
      run: async () => {
        downloadUs = await runCurl(bench, `https://${proxy}`, bulk, "", ["--cacert", ca, "--http1.1"]);
        return bulk.bodyBytes / MIB;
      },
    });
    const speed = async (/** @type {Loaded} */ loaded) => {
      const { cpuUs } = await cost(loaded, 0);
      return { cpuUs, speed: bulk.bodyBytes / downloadUs };
    };
    for (const each of [ours, go]) await speed(load(each));
    const [first, second] = await alternate(
      options.rounds,
      () => speed(load(go)),
      () => speed(load(ours)),
      (round, one, other) =>
        say(
          `${bulk.title}, round ${round}: ${one.speed.toFixed(0)} MB/s through Go, ${other.speed.toFixed(0)}`,
        ),
    );
    const of = (/** @type {"cpuUs" | "speed"} */ what) =>
      compare(
        first.map((each) => each[what]),
        second.map((each) => each[what]),
      );
    const [fast, cpu] = [of("speed"), of("cpuUs")];
    return (
      `- ${bulk.title}, TLS on both ports: ${fast.second.toFixed(0)} MB/s, through Go ${fast.first.toFixed(0)}, ` +
      `ratio ${fast.ratio.toFixed(2)} ± ${fast.half.toFixed(2)} (95 %); CPU a MiB ${(cpu.second / 1_000).toFixed(2)} ms, ` +
      `through Go ${(cpu.first / 1_000).toFixed(2)}, ratio ${cpu.ratio.toFixed(2)} ± ${cpu.half.toFixed(2)}`
    );
  }

  /**
   * @param {readonly string[]} serverFlags
   * @param {"http" | "https"} scheme
   * @param {readonly string[]} flags
   */
  async function start(serverFlags, scheme, flags) {
    const server = await startServer({ bench, options }, [], {}, serverFlags);
    const agent = await startAgent({ bench, options }, server, backendPort, { scheme, flags });
    return { proxy: server.proxy, pids: [server.program.pid, agent.pid] };
  }

  /**
   * @param {string} title
   * @param {Loaded} one
   * @param {Loaded} other
   */
  async function compareCosts(title, one, other) {
    for (const each of [one, other]) await cost(each, Math.ceil(options.warmupSeconds));
    const [first, second] = await alternate(
      options.rounds,
      () => cost(one, options.seconds),
      () => cost(other, options.seconds),
      (round, plainCost, secureCost) =>
        say(
          `${title}, round ${round}: ${plainCost.cpuUs.toFixed(1)} us, over TLS ${secureCost.cpuUs.toFixed(1)} us`,
        ),
    );
    const of = (/** @type {keyof Cost} */ what) =>
      compare(
        first.map((each) => each[what]),
        second.map((each) => each[what]),
      );
    return { cpu: of("cpuUs"), user: of("userUs") };
  }
}

/**
 * @param {Loaded} loaded
 * @param {number} seconds
 * @returns {Promise<Cost>}
 */
async function cost({ pids, run }, seconds) {
  const used = (/** @type {(pid: number) => number} */ read) => pids.reduce((sum, pid) => sum + read(pid), 0);
  const [cpu, user] = [used(readProcessCpuUs), used(readProcessUserUs)];
  const requests = await run(seconds);
  return {
    cpuUs: (used(readProcessCpuUs) - cpu) / requests,
    userUs: (used(readProcessUserUs) - user) / requests,
  };
}

/** @param {Record<"cpu" | "user", import("./by-turns.mjs").Comparison>} comparison */
function describe({ cpu, user }) {
  const us = (/** @type {"first" | "second"} */ which) =>
    `${cpu[which].toFixed(1)} us (${user[which].toFixed(1)})`;
  return `${us("first")}, over TLS ${us("second")}, ratio ${cpu.ratio.toFixed(2)} ± ${cpu.half.toFixed(2)} (95 %)`;
}
