// What a feature costs a request: piko with it and without it, in alternating windows. Each window has programs of its own, started
// for it: two starts of the same program can differ by 6 %, and windows of one pair would all share that difference.
// @ts-check

import { alternate, compare } from "./by-turns.mjs";
import { CASES } from "./cases.mjs";
import { runWrk } from "./load.mjs";

/**
 * Started programs.
 * @typedef {object} Started
 * @property {string} proxy address
 * @property {() => readonly number[]} usedUs CPU time so far, in microseconds, for each of the cost's meters
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Cost
 * @property {string} name
 * @property {readonly string[]} meters what is measured
 * @property {() => Promise<Started>} without starts the programs without the feature
 * @property {() => Promise<Started>} withFeature
 * @property {number} [max] maximum ratio of the first meter; none if left out
 * @property {string} [warmupTraceParent] `traceparent` of the requests of a first warm-up
 */

/**
 * Measures one after another. `met`: no ratio's interval lies above its maximum.
 * @param {Pick<import("./subjects/subject.mjs").SubjectContext, "bench" | "options">} context
 * @param {readonly Cost[]} costs
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureCosts(context, costs, say) {
  const { rounds, seconds } = context.options;
  const lines = [
    `${rounds} alternating rounds of ${seconds} s, programs started anew; per request of 100 B from 32 connections:`,
    "",
  ];
  let allMet = true;
  for (const cost of costs) {
    const { lines: found, met } = await measureCost(context, cost, say);
    lines.push(...found);
    allMet &&= met;
  }
  return { report: [...lines, ""].join("\n"), met: allMet };
}

/**
 * @param {Pick<import("./subjects/subject.mjs").SubjectContext, "bench" | "options">} context
 * @param {Cost} cost
 * @param {(message: string) => void} say
 * @returns {Promise<{ lines: readonly string[], met: boolean }>}
 */
async function measureCost({ bench, options }, cost, say) {
  const { max = Number.POSITIVE_INFINITY, meters, name, warmupTraceParent, without, withFeature } = cost;
  const small = smallRequests();

  /** @param {() => Promise<Started>} start */
  async function usPerRequest(start) {
    const { proxy, stop, usedUs } = await start();
    const run = (/** @type {import("./cases.mjs").LoadCase} */ load, /** @type {number} */ seconds) =>
      runWrk(bench, `http://${proxy}`, load, seconds);
    const warmupSeconds = Math.ceil(options.warmupSeconds);
    if (warmupTraceParent !== undefined)
      await run({ ...small, traceParent: warmupTraceParent }, warmupSeconds);
    await run(small, warmupSeconds);
    const before = usedUs();
    const { requests } = await run(small, options.seconds);
    const us = usedUs().map((used, meter) => (used - (before[meter] ?? 0)) / requests);
    await stop();
    return us;
  }

  const shown = (/** @type {readonly number[]} */ us) => us.map((each) => each.toFixed(1)).join(" and ");
  const [one, other] = await alternate(
    options.rounds,
    () => usPerRequest(without),
    () => usPerRequest(withFeature),
    (round, a, b) => say(`${name}, round ${round}: ${shown(a)} us, ${shown(b)} us`),
  );
  const compared = meters.map((_what, meter) => {
    const of = (/** @type {readonly (readonly number[])[]} */ rounds) => rounds.map((us) => us[meter] ?? 0);
    return compare(of(one), of(other));
  });
  const met = compared.slice(0, 1).every(({ half, ratio }) => ratio - half <= max);
  const verdict = Number.isFinite(max) ? `, ${met ? "within" : "above"} ${max}` : "";
  const lines = compared.map(
    ({ first, half, ratio, second }, meter) =>
      `- ${name}, ${meters[meter]}: ${first.toFixed(1)} us without, ${second.toFixed(1)} us with; ratio ${ratio.toFixed(3)} ± ${half.toFixed(3)} (95 %)${meter === 0 ? verdict : ""}`,
  );
  return { lines, met };
}

/** Requests of 100 B by 32 connections. */
function smallRequests() {
  const small = CASES.find((each) => each.kind === "load" && each.connections === 32);
  if (small === undefined || small.kind !== "load") throw new Error("no case of 32 connections");
  return small;
}
