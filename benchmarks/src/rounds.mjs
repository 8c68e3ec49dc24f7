// The comparison: every subject gets fresh processes in every round, and all of them stay up until its end, so that one case
// can be measured on all subjects within seconds. A slow minute of the machine then affects all of them. Every other round
// runs through them in reverse order.
// @ts-check

import { CASES, HTTP2_CASES } from "./cases.mjs";
import { checkSubject, measure, settle, warmUp } from "./measure.mjs";

/** @typedef {readonly { subject: import("./subjects/subject.mjs").Subject, cases: import("./cases.mjs").Case[] }[]} Plan */

/**
 * @param {import("./subjects/subject.mjs").SubjectContext} context
 * @param {Plan} plan
 * @param {(message: string) => void} say
 * @returns {Promise<import("./measure.mjs").Sample[]>}
 */
export async function runRounds(context, plan, say) {
  /** @type {import("./measure.mjs").Sample[]} */
  const samples = [];
  for (let round = 1; round <= context.options.rounds; round += 1) {
    say(`round ${round}/${context.options.rounds}`);
    samples.push(...(await runRound(context, round % 2 === 1 ? plan : [...plan].reverse(), round)));
  }
  return samples;
}

/**
 * @param {import("./subjects/subject.mjs").SubjectContext} context
 * @param {Plan} plan
 * @param {number} round
 */
async function runRound(context, plan, round) {
  const { bench, options } = context;
  /** @type {(Plan[number] & { running: import("./subjects/subject.mjs").RunningSubject })[]} */
  const field = [];
  const samples = [];
  let now = "";
  try {
    for (const { subject, cases } of plan) {
      now = subject.name;
      const running = await subject.start(context);
      field.push({ subject, cases, running });
      await checkSubject(bench, running, cases);
      await warmUp(bench, running, cases, subject.compiles ? options.warmupSeconds : COLD_WARMUP_SECONDS);
    }
    for (const each of [...CASES, ...HTTP2_CASES]) {
      for (const { subject, cases, running } of field) {
        if (!cases.includes(each)) continue;
        now = subject.name;
        await settle(bench, running, each);
        const sample = await measure(bench, running, each, options.seconds);
        samples.push({ subject: now, round, ...sample });
      }
    }
    return samples;
  } catch (error) {
    throw new Error(`${now}: round ${round}`, { cause: error });
  } finally {
    const programs = field.flatMap(({ running }) => running.parts.map(({ program }) => program));
    await Promise.all(programs.map((program) => program.stop()));
  }
}

/** For programs that are machine code from the start, where only caches and connections have to warm up. */
const COLD_WARMUP_SECONDS = 0.3;
