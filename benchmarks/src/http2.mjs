// `npm run bench -- --http2`: the cost of requests and gRPC messages over HTTP/2 in nginx, haproxy and piko, and of piko's
// requests over HTTP/1.1 in the same run.
// @ts-check

import { readFileSync, writeFileSync } from "node:fs";
import { startBackend } from "./backend.mjs";
import { HTTP2_CASES } from "./cases.mjs";
import { describeMachine } from "./machine.mjs";
import { requireProgram } from "./programs.mjs";
import { formatMs, formatTable, formatWarnings } from "./report.mjs";
import { runRounds } from "./rounds.mjs";
import { HTTP2_SUBJECTS } from "./subjects/http2.mjs";
import { median } from "./summary.mjs";

/** Maximum cost of a request at 10 streams in the server, as a multiple of one over HTTP/1.1. */
const MAX_RATIO = 2;
const PAGE = new URL("../../docs/benchmarks.md", import.meta.url);
/** The section of the page with the figures; programs that write the rest of the page keep it. */
export const SECTION = /<!-- http2:start -->[^]*<!-- http2:end -->/;

/** @typedef {import("./measure.mjs").Sample} Sample */

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureHttp2({ bench, options }, say) {
  requireProgram("h2load", "nghttp2-client");
  const machine = describeMachine(options, bench.pinned);
  const context = { bench, ...(await startBackend(bench)), options };
  const plan = HTTP2_SUBJECTS.flatMap((subject) => {
    const obstacle = subject.findObstacle(options);
    if (obstacle === undefined) {
      const cases = HTTP2_CASES.filter(({ kind }) => kind !== "load" || subject.name === "piko");
      return [{ subject, cases }];
    }
    say(`without ${subject.name}: ${obstacle}`);
    return [];
  });
  const samples = await runRounds(context, plan, say);
  const ratios = ratiosOf(samples, "h2-10", "h1-10");
  const met = median(ratios) <= MAX_RATIO;
  const report = format({ machine, plan, samples, ratios, met });
  if (options.docs) {
    const page = readFileSync(PAGE, "utf8");
    writeFileSync(
      PAGE,
      page.replace(SECTION, () => `<!-- http2:start -->\n${report}<!-- http2:end -->`),
    );
  }
  if (options.jsonFile !== undefined) {
    writeFileSync(options.jsonFile, `${JSON.stringify({ machine, options, samples }, undefined, 2)}\n`);
  }
  return { report, met };
}

/**
 * @param {{ machine: readonly string[], plan: import("./rounds.mjs").Plan, samples: readonly Sample[], ratios: readonly number[],
 *   met: boolean }} results
 */
function format({ machine, met, plan, ratios, samples }) {
  const table = (/** @type {string} */ unit, /** @type {readonly string[]} */ kinds) =>
    formatTable(
      ["", "", `${unit}/s`, "p50 / p99 ms", `CPU us per ${unit.slice(0, -1)} (min to max)`, "CPU / nginx"],
      HTTP2_CASES.filter(({ kind }) => kinds.includes(kind)).flatMap((each) =>
        plan.flatMap(({ subject }) => {
          const rows = samples.filter((one) => one.subject === subject.name && one.case === each.name);
          return rows.length === 0 ? [] : [[each.title, subject.title, ...figures(rows, samples, each.name)]];
        }),
      ),
    );
  const sections = [
    "## HTTP/2 and gRPC",
    "`npm run bench -- --http2`: 100 B each way, over 4 connections by prior knowledge, with this number of streams on each. Requests are sent by `h2load` to an " +
      "HTTP/1.1 service; for comparison `wrk` sends as many concurrent HTTP/1.1 requests, each on its own connection. gRPC messages are sent by `node:http2` and echoed by " +
      "a service on `node:http2`, one message in transit per call. There the load generator's core is the bottleneck, so messages/s " +
      "don't show the limit of the measured program. CPU in brackets: minimum and maximum of the rounds, each with fresh processes; the " +
      "rest are medians.",
    machine.map((line) => `- ${line}`).join("\n"),
    formatWarnings({ samples }),
    table("requests", ["requests", "load"]),
    table("messages", ["calls"]),
    `A request at 10 streams costs the server ${median(ratios).toFixed(2)} times as much as one over HTTP/1.1 ` +
      `(${range(ratios, 2)} in the rounds): ${met ? "within" : "**above**"} the limit of ${MAX_RATIO}.`,
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/**
 * @param {readonly Sample[]} rows of one subject
 * @param {readonly Sample[]} all
 * @param {string} caseName
 */
function figures(rows, all, caseName) {
  const of = (/** @type {(sample: Sample) => number} */ read) => median(rows.map(read));
  const roles = Object.keys(rows[0]?.cpuUs ?? {});
  const cpu = roles.map((role) => {
    const values = rows.map((sample) => (sample.cpuUs[role] ?? 0) / sample.requests);
    return `${roles.length > 1 ? `${role} ` : ""}${median(values).toFixed(1)} (${range(values, 1)})`;
  });
  const toNginx = rows.flatMap((sample) => {
    const nginx = all.find(
      ({ case: name, round, subject }) => subject === "nginx" && name === caseName && round === sample.round,
    );
    return nginx === undefined ? [] : [totalUs(sample) / totalUs(nginx)];
  });
  return [
    of((sample) => (sample.requests / sample.durationUs) * 1e6).toFixed(0),
    `${formatMs(of((sample) => sample.p50Us ?? 0))} / ${formatMs(of((sample) => sample.p99Us ?? 0))}`,
    cpu.join(" + "),
    toNginx.length === 0 ? "" : `${median(toNginx).toFixed(2)}x`,
  ];
}

/** CPU time per request, all roles. @param {Sample} sample */
function totalUs({ cpuUs, requests }) {
  return Object.values(cpuUs).reduce((sum, each) => sum + each, 0) / requests;
}

/**
 * Cost of one case's requests in piko's server relative to another case's, round by round.
 * @param {readonly Sample[]} samples
 * @param {string} value
 * @param {string} base
 */
function ratiosOf(samples, value, base) {
  const serverUs = (/** @type {string} */ name) =>
    samples
      .filter((one) => one.subject === "piko" && one.case === name)
      .map(({ cpuUs, requests }) => (cpuUs["server"] ?? 0) / requests);
  const bases = serverUs(base);
  return serverUs(value).map((us, round) => us / (bases[round] ?? Number.NaN));
}

/** @param {readonly number[]} values @param {number} digits */
function range(values, digits) {
  return `${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`;
}
