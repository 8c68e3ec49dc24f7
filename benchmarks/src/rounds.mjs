// The comparison: every subject gets fresh processes in every round, and every other round goes through them
// backwards, so that a slow minute of the machine doesn't fall on one of them.
// @ts-check

import { checkSubject, measure, warmUp } from "./measure.mjs";

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
    for (const { subject, cases } of round % 2 === 1 ? plan : [...plan].reverse()) {
      say(`round ${round}/${context.options.rounds}: ${subject.name}`);
      try {
        for (const sample of await runSubject(context, subject, cases)) {
          samples.push({ subject: subject.name, round, ...sample });
        }
      } catch (error) {
        throw new Error(`${subject.name}: round ${round}`, { cause: error });
      }
    }
  }
  return samples;
}

/**
 * @param {import("./subjects/subject.mjs").SubjectContext} context
 * @param {import("./subjects/subject.mjs").Subject} subject
 * @param {readonly import("./cases.mjs").Case[]} cases
 */
async function runSubject(context, subject, cases) {
  const { bench, options } = context;
  const running = await subject.start(context);
  try {
    await checkSubject(bench, running, cases);
    await warmUp(bench, running, cases, subject.compiles ? options.warmupSeconds : COLD_WARMUP_SECONDS);
    const samples = [];
    for (const each of cases) samples.push(await measure(bench, running, each, options.seconds));
    return samples;
  } finally {
    await Promise.all(running.parts.map(({ program }) => program.stop()));
  }
}

/** For programs that are machine code from the start: only caches and connections have to become warm. */
const COLD_WARMUP_SECONDS = 0.3;
