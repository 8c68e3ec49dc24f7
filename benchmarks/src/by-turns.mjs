// Two ways to do the same, in windows by turns: what one costs in terms of the other. What is judged is whether the interval of
// the ratio's mean lies above a limit, so that a busy machine can't fail it.
// @ts-check

/** Student's t for 95 % of 14 degrees of freedom and more. */
const T_95 = 2.145;

/**
 * @typedef {object} Comparison
 * @property {number} first mean cost of the first one
 * @property {number} second
 * @property {number} ratio mean of the rounds' ratios, second to first
 * @property {number} half of the ratio's 95 % interval
 */

/**
 * @param {number} rounds
 * @param {() => Promise<number>} first measures a window of the first one
 * @param {() => Promise<number>} second
 * @param {(round: number, first: number, second: number) => void} onRound
 * @returns {Promise<Comparison>}
 */
export async function compareByTurns(rounds, first, second, onRound) {
  /** @type {number[][]} */
  const costs = [[], []];
  /** @type {number[]} */
  const ratios = [];
  for (let round = 0; round < rounds; round++) {
    const cost = [0, 0];
    for (const index of round % 2 === 0 ? [0, 1] : [1, 0])
      cost[index] = await (index === 0 ? first : second)();
    const [one = 1, other = 1] = cost;
    costs[0]?.push(one);
    costs[1]?.push(other);
    ratios.push(other / one);
    onRound(round + 1, one, other);
  }
  const ratio = average(ratios);
  const spread = Math.sqrt(average(ratios.map((each) => (each - ratio) ** 2)));
  const half = rounds < 2 ? Number.POSITIVE_INFINITY : (T_95 * spread) / Math.sqrt(rounds - 1);
  return { first: average(costs[0] ?? []), second: average(costs[1] ?? []), ratio, half };
}

/** @param {readonly number[]} values */
function average(values) {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
