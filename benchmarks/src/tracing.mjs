// `npm run bench -- --tracing`: what traces cost a request, server and agent together, in user time: with 1 % and with all of the
// requests sampled, each against none, in windows by turns. With --against, what they cost where they are off: the other build.
// @ts-check

import { once } from "node:events";
import { createServer } from "node:http";
import { startBackend } from "./backend.mjs";
import { compareByTurns } from "./by-turns.mjs";
import { CASES } from "./cases.mjs";
import { readProcessUserUs } from "./cpu.mjs";
import { runWrk } from "./load.mjs";
import { startAgent, startServer } from "./subjects/piko.mjs";

/** Most that it may make of a request's user time: off, and with 1 % sampled. */
const MOST_OFF = 1.03;
const MOST_SAMPLED = 1.05;
/** A trace that its client records. */
const RECORDED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureTracing({ bench, options }, say) {
  const { backendPort } = await startBackend(bench);
  const small = CASES.find((each) => each.kind === "load" && each.connections === 32);
  if (small === undefined || small.kind !== "load") throw new Error("no case of 32 connections");
  const collector = createServer((request, response) => request.resume().on("end", () => response.end("{}")));
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  const address = collector.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const url = `http://127.0.0.1:${address.port}`;

  /** @param {readonly string[]} flags @param {typeof options} [how] */
  async function start(flags, how = options) {
    const trusting = flags.length === 0 ? [] : ["--tracing.trust-clients"];
    const server = await startServer({ bench, options: how }, [], {}, [...flags, ...trusting]);
    const agent = await startAgent({ bench, options: how }, server, backendPort, { flags });
    return { proxy: server.proxy, pids: [server.program.pid, agent.pid] };
  }

  /** @param {Awaited<ReturnType<typeof start>>} subject @param {number} seconds @param {string} [traceParent] */
  async function userUs({ pids, proxy }, seconds, traceParent) {
    const used = () => pids.reduce((sum, pid) => sum + readProcessUserUs(pid), 0);
    const before = used();
    const { requests } = await runWrk(
      bench,
      `http://${proxy}`,
      /** @type {any} */ ({ ...small, traceParent }),
      seconds,
    );
    return (used() - before) / requests;
  }

  /**
   * @param {string} what
   * @param {Awaited<ReturnType<typeof start>>} one
   * @param {Awaited<ReturnType<typeof start>>} other
   * @param {number} most
   */
  async function judge(what, one, other, most) {
    // With all recorded first: what one request of a hundred needs is compiled late, and costs much until then.
    for (const traceParent of [RECORDED, undefined]) {
      for (const subject of [one, other])
        await userUs(subject, Math.ceil(options.warmupSeconds), traceParent);
    }
    const { first, half, ratio, second } = await compareByTurns(
      options.rounds,
      () => userUs(one, options.seconds),
      () => userUs(other, options.seconds),
      (round, a, b) => say(`${what}, round ${round}: ${a.toFixed(1)} us, ${b.toFixed(1)} us`),
    );
    const met = ratio - half <= most;
    const against = most === Number.POSITIVE_INFINITY ? "" : `, ${met ? "within" : "above"} ${most}`;
    lines.push(
      `- ${what}: ${first.toFixed(1)} us, then ${second.toFixed(1)} us; ratio ${ratio.toFixed(3)} ± ${half.toFixed(3)} (95 %)${against}`,
    );
    return met;
  }

  /** @type {string[]} */
  const lines = [];
  const off = await start([]);
  const { againstFile } = options;
  let met = true;
  if (againstFile !== undefined) {
    const before = await start([], { ...options, pikoFile: againstFile });
    met = await judge("the other build, and this one with traces off", before, off, MOST_OFF);
  }
  const sampled = await start(["--tracing.url", url, "--tracing.sample", "0.01"]);
  met = (await judge("off, and 1 % sampled", off, sampled, MOST_SAMPLED)) && met;
  const all = await start(["--tracing.url", url]);
  await judge("off, and all sampled", off, all, Number.POSITIVE_INFINITY);
  collector.closeAllConnections();
  collector.close();
  const head = `${options.rounds} rounds of ${options.seconds} s by turns, user time of server and agent per request:`;
  return { report: [head, "", ...lines, ""].join("\n"), met };
}
