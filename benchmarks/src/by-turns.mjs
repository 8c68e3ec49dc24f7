// Compares the cost of two ways to do the same thing, measured in alternating windows. A limit counts as exceeded only if
// the whole confidence interval of the mean ratio is above it, so that a busy machine can't fail it.
// @ts-check

/** Student's t for 95 % and 14 or more degrees of freedom. */
const T_95 = 2.145;

/**
 * @typedef {object} Comparison
 * @property {number} first mean cost of the first one
 * @property {number} second
 * @property {number} ratio mean of the rounds' ratios, second to first
 * @property {number} half half the width of the ratio's 95 % interval
 */

/**
 * @param {number} rounds
 * @param {() => Promise<number>} first measures a window of the first one
 * @param {() => Promise<number>} second
 * @param {(round: number, first: number, second: number) => void} onRound
 * @returns {Promise<Comparison>}
 */
export async function compareAlternating(rounds, first, second, onRound) {
  const [one, other] = await alternate(rounds, first, second, onRound);
  return compare(one, other);
}

/**
 * Measures both in each round, and returns the results.
 * @template T
 * @param {number} rounds
 * @param {() => Promise<T>} first
 * @param {() => Promise<T>} second
 * @param {(round: number, first: T, second: T) => void} onRound
 * @returns {Promise<[T[], T[]]>}
 */
export async function alternate(rounds, first, second, onRound) {
  /** @type {[T[], T[]]} */
  const samples = [[], []];
  for (let round = 0; round < rounds; round++) {
    const firstEarly = round % 2 === 0;
    const early = await (firstEarly ? first : second)();
    const late = await (firstEarly ? second : first)();
    const [one, other] = firstEarly ? [early, late] : [late, early];
    samples[0].push(one);
    samples[1].push(other);
    onRound(round + 1, one, other);
  }
  return samples;
}

/**
 * @param {readonly number[]} one costs of the first one, round by round
 * @param {readonly number[]} other
 * @returns {Comparison}
 */
export function compare(one, other) {
  const ratios = one.map((cost, round) => (other[round] ?? 0) / cost);
  const ratio = average(ratios);
  const spread = Math.sqrt(average(ratios.map((each) => (each - ratio) ** 2)));
  const half = ratios.length < 2 ? Number.POSITIVE_INFINITY : (T_95 * spread) / Math.sqrt(ratios.length - 1);
  return { first: average(one), second: average(other), ratio, half };
}

/** @param {readonly number[]} values */
function average(values) {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
