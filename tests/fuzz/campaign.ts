// Runs many cases, a few hundred at a time, and reports the differences. The test runs a campaign for seconds, `npm run fuzz`
// for as long as requested.

import { start } from "./differential.js";
import { generateCase } from "./generate.js";
import { NodeOracle } from "./node-oracle.js";

const BATCH = 256;

export interface CampaignOptions {
  readonly seed: number;
  /** Number of the first case. */
  readonly from?: number;
  readonly cases: number;
  /** Checked between batches; ends the campaign early when it returns true. */
  readonly stop?: () => boolean;
  readonly onProgress?: (summary: Summary) => void;
}

export interface Summary {
  cases: number;
  /** Messages that were accepted, forwarded and found to be the same. */
  messages: number;
  /** Number of cases for each outcome. */
  readonly outcomes: Map<string, number>;
  /** Accepted messages that Node can't judge (see explained.ts). */
  explained: number;
  readonly disagreements: string[];
}

/** A campaign stops after this many disagreements. */
const MAX_DISAGREEMENTS = 5;

export async function runCampaign(options: CampaignOptions): Promise<Summary> {
  const { seed, from = 0, cases, stop, onProgress } = options;
  const summary: Summary = {
    cases: 0,
    messages: 0,
    outcomes: new Map(),
    explained: 0,
    disagreements: [],
  };
  const oracle = new NodeOracle();
  for (let index = from; index < from + cases; ) {
    const first = index;
    const end = Math.min(from + cases, index + BATCH);
    const pending = [];
    for (; index < end; index++) pending.push(start(generateCase(seed, index), oracle));
    await oracle.settle();
    pending.forEach((found, i) => {
      const { fuzzCase } = found;
      count(summary.outcomes, `${fuzzCase.kind} ${found.outcome}`);
      const difference = found.judge();
      summary.messages += found.accepted;
      summary.explained += found.explained;
      if (difference === undefined) return;
      summary.disagreements.push(report(seed, first + i, fuzzCase.bytes.toString("latin1"), difference));
    });
    summary.cases += pending.length;
    onProgress?.(summary);
    if (summary.disagreements.length >= MAX_DISAGREEMENTS || stop?.() === true) break;
  }
  oracle.close();
  return summary;
}

function report(seed: number, index: number, text: string, difference: string): string {
  return [
    `case ${index} of seed ${seed}: ${JSON.stringify(text)}`,
    `  ${difference}`,
    `  again: npm run fuzz -- --seed ${seed} --case ${index}`,
  ].join("\n");
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
