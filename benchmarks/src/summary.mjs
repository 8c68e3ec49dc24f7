// Medians of all rounds: one figure for each subject and case. Used by the report and the targets.
// @ts-check

/**
 * @typedef {object} Figures
 * @property {string} subject
 * @property {string} case
 * @property {number} requestsPerSecond
 * @property {number} megabytesPerSecond
 * @property {number | undefined} p50Us
 * @property {number | undefined} p99Us
 * @property {Record<string, number>} cpuUsPerRequest by role
 * @property {number} cpuUsPerRequestSum
 * @property {number} cpuMsPerMib all roles
 * @property {number} spread of the sum: (maximum - minimum) / median
 * @property {Record<string, number>} residentBytes by role
 */

/**
 * @typedef {object} Term one figure of one subject under one case
 * @property {string} subject
 * @property {string} case
 * @property {(figures: Figures) => number | undefined} read
 */

/** Medians by subject and case. */
export class Summary {
  /** @type {Map<string, Figures>} */
  #figures = new Map();
  /** By subject and case: the figures of each round. @type {Map<string, Map<number, Figures>>} */
  #rounds = new Map();

  /** @param {readonly import("./measure.mjs").Sample[]} samples */
  constructor(samples) {
    /** @type {Map<string, import("./measure.mjs").Sample[]>} */
    const groups = new Map();
    for (const sample of samples) {
      const key = keyOf(sample);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [sample]);
      else group.push(sample);
    }
    for (const [key, group] of groups) {
      this.#figures.set(key, summarize(group));
      this.#rounds.set(key, new Map(group.map((sample) => [sample.round, summarize([sample])])));
    }
  }

  /**
   * Divides `value` by `base` within each round, where both were measured within seconds; returns the median of these ratios.
   * @param {Term} value
   * @param {Term} base
   * @returns {number | undefined} undefined if one of them wasn't measured
   */
  ratio(value, base) {
    const bases = this.#rounds.get(keyOf(base));
    const ratios = [];
    for (const [round, figures] of this.#rounds.get(keyOf(value)) ?? []) {
      const baseFigures = bases?.get(round);
      if (baseFigures === undefined) continue;
      const [above, below] = [value.read(figures), base.read(baseFigures)];
      if (above !== undefined && below !== undefined && below !== 0) ratios.push(above / below);
    }
    return ratios.length === 0 ? undefined : median(ratios);
  }

  /**
   * @param {string} subject
   * @param {string} caseName
   * @returns {Figures | undefined}
   */
  find(subject, caseName) {
    return this.#figures.get(keyOf({ subject, case: caseName }));
  }

  /** @returns {Figures[]} */
  all() {
    return [...this.#figures.values()];
  }
}

/** @param {{ subject: string, case: string }} of */
function keyOf({ subject, case: caseName }) {
  return `${subject} ${caseName}`;
}

/**
 * @param {readonly import("./measure.mjs").Sample[]} group samples of one subject and case
 * @returns {Figures}
 */
function summarize(group) {
  const first = /** @type {import("./measure.mjs").Sample} */ (group[0]);
  const roles = Object.keys(first.cpuUs);
  const sums = group.map((each) => sumOf(each.cpuUs) / each.requests);
  /** @param {(sample: import("./measure.mjs").Sample) => number} pick */
  const of = (pick) => median(group.map(pick));
  return {
    subject: first.subject,
    case: first.case,
    requestsPerSecond: of((each) => (each.requests / each.durationUs) * 1e6),
    megabytesPerSecond: of((each) => each.bytes / each.durationUs),
    p50Us: first.p50Us === undefined ? undefined : of((each) => each.p50Us ?? 0),
    p99Us: first.p99Us === undefined ? undefined : of((each) => each.p99Us ?? 0),
    cpuUsPerRequest: Object.fromEntries(
      roles.map((role) => [role, of((each) => (each.cpuUs[role] ?? 0) / each.requests)]),
    ),
    cpuUsPerRequestSum: median(sums),
    cpuMsPerMib: of((each) => sumOf(each.cpuUs) / 1000 / (each.bytes / 2 ** 20)),
    spread: (Math.max(...sums) - Math.min(...sums)) / median(sums),
    residentBytes: Object.fromEntries(
      roles.map((role) => [role, of((each) => each.residentBytes[role] ?? 0)]),
    ),
  };
}

/** @param {Record<string, number>} values */
function sumOf(values) {
  return Object.values(values).reduce((sum, value) => sum + value, 0);
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
