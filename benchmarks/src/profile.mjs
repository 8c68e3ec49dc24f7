// `--profile`: runs piko's server and agent under one case with V8's sampling profiler, and lists the functions by the time
// spent in them. For tuning; figures of a profiled run aren't comparable with others.
// @ts-check

import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { checkSubject, measure, warmUp } from "./measure.mjs";
import { startPiko } from "./subjects/piko.mjs";

const SAMPLE_INTERVAL_US = 250;
const TOP = 25;
/** V8's names for idle time. */
const IDLE = new Set(["(idle)", "(root)"]);

/**
 * @typedef {object} CpuProfile
 * @property {{ id: number, callFrame: { functionName: string, url: string, lineNumber: number } }[]} nodes
 * @property {number} startTime microseconds of the monotonic clock
 * @property {number[]} samples
 * @property {number[]} timeDeltas
 *
 * @typedef {{ name: string, selfUs: number }} FunctionTime
 */

/**
 * @param {import("./subjects/subject.mjs").SubjectContext} context
 * @param {import("./cases.mjs").Case} each
 * @returns {Promise<string>} Markdown
 */
export async function profilePiko(context, each) {
  const { bench, options } = context;
  const directory = resolve(options.profileDirectory ?? join(bench.directory, "profiles"));
  mkdirSync(directory, { recursive: true });
  const profiler = (/** @type {string} */ role) => [
    "--cpu-prof",
    `--cpu-prof-dir=${directory}`,
    `--cpu-prof-name=${role}.cpuprofile`,
    `--cpu-prof-interval=${SAMPLE_INTERVAL_US}`,
  ];
  const running = await startPiko(context, { server: profiler("server"), agent: profiler("agent") });
  await checkSubject(bench, running, [each]);
  await warmUp(bench, running, [each], options.warmupSeconds);
  const fromUs = monotonicUs();
  const sample = await measure(bench, running, each, options.seconds);
  const toUs = monotonicUs();
  // The programs write their profiles when they end.
  await Promise.all(running.parts.map(({ program }) => program.stop()));
  const rate = Math.round((sample.requests / sample.durationUs) * 1e6);
  const sections = running.parts.map(({ role }) => {
    const file = join(directory, `${role}.cpuprofile`);
    /** @type {CpuProfile} */
    const profile = JSON.parse(readFileSync(file, "utf8"));
    return `## ${role}\n\n${formatFunctions(sumSelfTimes(profile, fromUs, toUs))}`;
  });
  return [`# CPU profile of piko, ${each.title} (${rate} requests/s while profiled)`, ...sections].join(
    "\n\n",
  );
}

function monotonicUs() {
  return Number(process.hrtime.bigint() / 1000n);
}

/**
 * Self time of each function within a window of time, without idle time, longest first.
 * @param {CpuProfile} profile
 * @param {number} fromUs
 * @param {number} toUs
 * @returns {FunctionTime[]}
 */
function sumSelfTimes(profile, fromUs, toUs) {
  const names = new Map(profile.nodes.map((node) => [node.id, describe(node.callFrame)]));
  /** @type {Map<string, number>} */
  const times = new Map();
  let at = profile.startTime;
  profile.samples.forEach((id, index) => {
    const delta = profile.timeDeltas[index] ?? 0;
    at += delta;
    const name = names.get(id);
    if (at < fromUs || at > toUs || name === undefined || IDLE.has(name)) return;
    times.set(name, (times.get(name) ?? 0) + delta);
  });
  return [...times]
    .map(([name, selfUs]) => ({ name, selfUs }))
    .sort((left, right) => right.selfUs - left.selfUs);
}

/** @param {CpuProfile["nodes"][number]["callFrame"]} frame */
function describe({ functionName, url, lineNumber }) {
  const name = functionName === "" ? "(anonymous)" : functionName;
  if (url === "") return name;
  const file = url.split("/").slice(-3).join("/");
  return `${name} ${file}:${lineNumber + 1}`;
}

/** @param {readonly FunctionTime[]} functions */
function formatFunctions(functions) {
  const total = functions.reduce((sum, each) => sum + each.selfUs, 0);
  const rows = functions.slice(0, TOP).map(({ name, selfUs }) => {
    const share = ((selfUs / total) * 100).toFixed(1);
    return `| ${share} % | ${(selfUs / 1000).toFixed(0)} | \`${name}\` |`;
  });
  return ["| self | ms | function |", "|---:|---:|---|", ...rows].join("\n");
}
