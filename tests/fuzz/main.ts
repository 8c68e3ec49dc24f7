// What `npm run fuzz` runs (scripts/fuzz.mjs builds and starts it): the requested number of cases, or one case again.

import { parseArgs } from "node:util";
import { runCampaign, type Summary } from "./campaign.js";
import { generateCase } from "./generate.js";

const PROGRESS_MS = 10_000;
const USAGE = "usage: npm run fuzz -- [--cases N] [--seed S] [--seconds T] [--case I]\n";

const { values } = parseArgs({
  options: {
    cases: { type: "string" },
    seed: { type: "string" },
    seconds: { type: "string" },
    case: { type: "string" },
    help: { type: "boolean" },
  },
});

function number(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`not a whole number: ${text}`);
  return value;
}

async function main(): Promise<number> {
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const seed = number(values.seed, Date.now() % 1_000_000_000);
  const single = values.case === undefined ? undefined : number(values.case, 0);
  const cases = single === undefined ? number(values.cases, 1_000_000) : 1;
  const startedMs = performance.now();
  const untilMs =
    values.seconds === undefined ? Number.POSITIVE_INFINITY : startedMs + number(values.seconds, 0) * 1_000;
  process.stdout.write(`seed ${seed}, ${cases} cases\n`);
  if (single !== undefined) {
    const { bytes, ...rest } = generateCase(seed, single);
    process.stdout.write(`${JSON.stringify(rest)}\n${JSON.stringify(bytes.toString("latin1"))}\n`);
  }
  let printedMs = startedMs;
  const summary = await runCampaign({
    seed,
    from: single ?? 0,
    cases,
    stop: () => performance.now() >= untilMs,
    onProgress: (soFar) => {
      const nowMs = performance.now();
      if (nowMs - printedMs < PROGRESS_MS) return;
      printedMs = nowMs;
      const rate = Math.round((soFar.cases / (nowMs - startedMs)) * 1_000);
      process.stdout.write(`${soFar.cases} cases, ${soFar.messages} messages, ${rate}/s\n`);
    },
  });
  printSummary(summary, (performance.now() - startedMs) / 1_000);
  return summary.disagreements.length === 0 ? 0 : 1;
}

function printSummary(
  { cases, messages, outcomes, explained, disagreements }: Summary,
  seconds: number,
): void {
  const counts = (map: Map<string, number>): string =>
    [...map]
      .sort(([, a], [, b]) => b - a)
      .map(([name, count]) => `  ${String(count).padStart(9)} ${name}\n`)
      .join("");
  process.stdout.write(`outcomes:\n${counts(outcomes)}`);
  for (const disagreement of disagreements) process.stdout.write(`${disagreement}\n`);
  process.stdout.write(
    `${cases} cases, ${messages} messages forwarded (${explained} of them unknown to Node), ${disagreements.length} disagreements, ${seconds.toFixed(1)} s\n`,
  );
}

process.exitCode = await main();
