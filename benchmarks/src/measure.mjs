// One measurement: a case on a running subject, with the CPU time of each of its processes.
// @ts-check

import { readCoreBusyUs, readProcessCpuUs, readResidentBytes, readWaitedCpuUs } from "./cpu.mjs";
import { checkStreams, runH2load } from "./h2load.mjs";
import { checkAnswer, runCurl, runEcho, runWrk } from "./load.mjs";
import { LOAD_CORE, SUBJECT_CORE } from "./workbench.mjs";

/** Time after the start in which responses may be wrong, until an agent's tunnel is known. */
const READY_TIMEOUT_MS = 10_000;

/** With less, wrk might be told to stop before it can handle that. */
const MIN_WARMUP_SECONDS = 0.3;

const SETTLE_SECONDS = 0.5;

/** If other programs use more than this share of a core, the sample is spoiled. */
export const FOREIGN_LIMIT = 0.05;

/**
 * @typedef {object} Sample
 * @property {string} subject
 * @property {string} case
 * @property {number} round
 * @property {number} durationUs
 * @property {number} bytes of all bodies
 * @property {number} requests
 * @property {number} [p50Us]
 * @property {number} [p99Us]
 * @property {Record<string, number>} cpuUs by role, for the whole case
 * @property {Record<string, number>} residentBytes by role, right after the case
 * @property {number} foreignShare share of a core, the subject's or the load's, that other programs used: 0 to 1
 */

/**
 * Waits until the subject answers, then checks one response for each case.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./subjects/subject.mjs").RunningSubject} running
 * @param {readonly import("./cases.mjs").Case[]} cases
 */
export async function checkSubject(bench, running, cases) {
  const programs = running.parts.map((part) => part.program);
  for (const each of cases) {
    const isStreams = each.kind === "requests" || each.kind === "calls";
    // In the other cases, the load checks every response itself.
    if (!isStreams && each.kind !== "load" && each.kind !== "bulk") continue;
    /** @type {string | undefined} */
    let problem;
    try {
      await bench.waitFor(
        "answer",
        programs,
        async () => {
          problem = await (isStreams
            ? checkStreams(running.origin, each)
            : checkAnswer(running.origin, each));
          return problem === undefined ? true : undefined;
        },
        READY_TIMEOUT_MS,
      );
    } catch (error) {
      throw new Error(`${each.title}: wrong answer: ${problem}`, { cause: error });
    }
  }
}

/**
 * Warms up a fresh subject: mostly with the first load, and briefly with each other one.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./subjects/subject.mjs").RunningSubject} running
 * @param {readonly import("./cases.mjs").Case[]} cases
 * @param {number} seconds
 */
export async function warmUp(bench, running, cases, seconds) {
  let share = 1;
  for (const each of cases) {
    const forSeconds = Math.max(MIN_WARMUP_SECONDS, seconds * share);
    if (each.kind === "requests" || each.kind === "calls") await run(bench, running.origin, each, forSeconds);
    else if (each.kind !== "load" || each.connections === 1 || each.pauseMs !== undefined) continue;
    else await runWrk(bench, running.origin, each, forSeconds, false);
    share = 0.2;
  }
}

/**
 * Runs a load for a moment before it is measured, because V8's code for the previous load may not fit.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./subjects/subject.mjs").RunningSubject} running
 * @param {import("./cases.mjs").Case} each
 */
export async function settle(bench, running, each) {
  if (each.kind === "load") await runWrk(bench, running.origin, each, SETTLE_SECONDS, false);
  else if (each.kind === "requests") await runH2load(bench, running.origin, each, SETTLE_SECONDS);
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./subjects/subject.mjs").RunningSubject} running
 * @param {import("./cases.mjs").Case} each
 * @param {number} seconds
 * @returns {Promise<Omit<Sample, "subject" | "round">>}
 */
export async function measure(bench, running, each, seconds) {
  const busyBefore = [readCoreBusyUs(SUBJECT_CORE), readCoreBusyUs(LOAD_CORE)];
  const loadBefore = readLoadCpuUs(bench);
  const startedAt = performance.now();
  const before = running.parts.map(({ program }) => readProcessCpuUs(program.pid));
  const result = await run(bench, running.origin, each, seconds);
  const cpu = running.parts.map(
    ({ program }, index) => readProcessCpuUs(program.pid) - /** @type {number} */ (before[index]),
  );
  const wallUs = (performance.now() - startedAt) * 1000;
  const own = cpu.reduce((sum, value) => sum + value, 0);
  const [subjectBusy, loadBusy] = [SUBJECT_CORE, LOAD_CORE].map(
    (core, index) => readCoreBusyUs(core) - (busyBefore[index] ?? 0),
  );
  const foreign = Math.max((subjectBusy ?? 0) - own, (loadBusy ?? 0) - (readLoadCpuUs(bench) - loadBefore));
  return {
    case: each.name,
    durationUs: result.durationUs,
    requests: result.requests,
    bytes: result.requests * each.bodyBytes,
    ...(result.p50Us === undefined ? {} : { p50Us: result.p50Us }),
    ...(result.p99Us === undefined ? {} : { p99Us: result.p99Us }),
    cpuUs: byRole(running, cpu),
    residentBytes: byRole(
      running,
      running.parts.map(({ program }) => readResidentBytes(program.pid)),
    ),
    foreignShare: bench.pinned ? Math.max(0, foreign) / wallUs : 0,
  };
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {string} origin
 * @param {import("./cases.mjs").Case} each
 * @param {number} seconds
 * @returns {Promise<{ requests: number, durationUs: number, p50Us?: number, p99Us?: number }>}
 */
async function run(bench, origin, each, seconds) {
  switch (each.kind) {
    case "load":
      return runWrk(bench, origin, each, Math.max(seconds, each.minSeconds ?? 0));
    case "requests":
      return runH2load(bench, origin, each, seconds);
    case "websocket":
    case "tcp":
    case "calls":
      return runEcho(bench, origin, each, seconds);
    default:
      return runBulk(bench, origin, each, seconds);
  }
}

/**
 * One body after the other for this time, at least one.
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {string} origin
 * @param {import("./cases.mjs").BulkCase} each
 * @param {number} seconds
 */
async function runBulk(bench, origin, each, seconds) {
  let [requests, durationUs] = [0, 0];
  do {
    durationUs += await runCurl(bench, origin, each, bench.bulkFile);
    requests += 1;
  } while (durationUs < seconds * 1e6);
  return { requests, durationUs };
}

/**
 * CPU time so far of load generators that have ended, and of the services.
 * @param {import("./workbench.mjs").Workbench} bench
 */
function readLoadCpuUs(bench) {
  const services = bench.servicePids.map(readProcessCpuUs);
  return services.reduce((sum, value) => sum + value, readWaitedCpuUs(process.pid));
}

/**
 * @param {import("./subjects/subject.mjs").RunningSubject} running
 * @param {readonly number[]} values
 * @returns {Record<string, number>} sums for each role
 */
function byRole(running, values) {
  /** @type {Record<string, number>} */
  const sums = {};
  running.parts.forEach(({ role }, index) => (sums[role] = (sums[role] ?? 0) + (values[index] ?? 0)));
  return sums;
}
