// The results of a scenario: lines to print, and the promises that were broken.

import { nowMs } from "./load.mjs";

/** @typedef {import("./load.mjs").Asked} Asked */

export class Findings {
  /** @type {string[]} */
  lines = [];
  /** @type {string[]} */
  broken = [];

  /**
   * @param {string} label
   * @param {string} text
   */
  add(label, text) {
    this.lines.push(`  ${label.padEnd(16)} ${text}`);
  }

  /**
   * @param {boolean} kept
   * @param {string} promise
   */
  promise(kept, promise) {
    if (!kept) this.broken.push(promise);
  }

  /**
   * Counts requests and failures, by kind.
   * @param {Asked[]} asked
   * @param {number} longestStallMs
   */
  count(asked, longestStallMs) {
    const kinds = tally(asked.map(({ kind }) => kind));
    this.add("requests", `${asked.length} (${kinds})`);
    const failed = asked.filter(({ failure }) => failure !== undefined);
    const begun = failed.filter(({ headMs, failure }) => headMs !== undefined && failure?.startsWith("cut"));
    this.add(
      "failed",
      `${failed.length}${failed.length > 0 ? `: ${tally(failed.map(({ kind, failure }) => `${kind} ${failure}`))}` : ""}`,
    );
    if (begun.length > 0) this.add("", `${begun.length} of them responses that had begun`);
    this.add("client", `stood still itself for ${Math.round(longestStallMs)} ms at most`);
    return { failed, unanswered: failed.filter((each) => !begun.includes(each)) };
  }

  /**
   * Adds how late requests were answered, beyond the time that their service takes; returns the maximum.
   * @param {string} label
   * @param {Asked[]} asked
   */
  latency(label, asked) {
    const lateMs = asked
      .map(({ endMs = nowMs(), ownMs, startMs }) => endMs - startMs - ownMs)
      .toSorted((a, b) => a - b);
    const at = (/** @type {number} */ part) =>
      Math.round(lateMs[Math.min(lateMs.length - 1, Math.floor(lateMs.length * part))] ?? 0);
    this.add(label, `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (${asked.length} requests)`);
    return at(1);
  }

  /**
   * Adds the warnings and errors that programs logged, counted by message.
   * @param {import("./programs.mjs").Program[]} programs
   */
  addComplaints(programs) {
    for (const { name, records } of programs) {
      const complaints = records.filter(({ level }) => level === "warn" || level === "error");
      if (complaints.length > 0) this.add(name, tally(complaints.map(({ msg }) => msg)));
    }
  }
}

/** @param {string[]} words */
function tally(words) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([word, count]) => `${count} x ${word}`).join(", ");
}
