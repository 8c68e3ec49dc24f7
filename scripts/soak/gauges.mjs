// What a process holds, from its own metrics: memory, handles, timers. Read between the rounds of a soak, when nothing is in
// progress, so that anything left is a leak or a cache.

/**
 * @typedef {object} Sample
 * @property {number} rssMb
 * @property {number} heapMb
 * @property {number} handles
 * @property {number} timers
 */

const QUIET_TRIES = 60;
const QUIET_MS = 250;

/**
 * @param {string} address of the port that has `/metrics`
 * @returns {Promise<Sample>}
 */
async function readSample(address) {
  const text = await (await fetch(`http://${address}/metrics`, { headers: { connection: "close" } })).text();
  const value = (/** @type {string} */ name) => {
    const line = text.split("\n").find((each) => each.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  };
  return {
    rssMb: value("process_resident_memory_bytes") / 1e6,
    heapMb: value("nodejs_heap_size_used_bytes") / 1e6,
    handles: value("nodejs_active_handles_total"),
    timers: value('nodejs_active_resources{type="Timeout"}'),
  };
}

/**
 * Waits until the number of handles stops falling, then reads.
 * @param {string} address
 * @returns {Promise<Sample>}
 */
export async function readQuietSample(address) {
  let last = await readSample(address);
  let same = 0;
  for (let i = 0; i < QUIET_TRIES && same < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const next = await readSample(address);
    same = next.handles === last.handles && next.timers === last.timers ? same + 1 : 0;
    last = next;
  }
  return last;
}

/** Memory may grow by this factor from the middle of a soak to its end. */
const MEMORY_FACTOR = 1.1;
const MEMORY_SLACK_MB = 12;

/**
 * What has grown since the warm-up (the first quarter); empty if nothing has.
 * @param {string} name
 * @param {Sample[]} samples
 * @param {number} handleSlack number of persistent connections that may vary
 */
export function findGrowth(name, samples, handleSlack) {
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const warm = samples.slice(quarter, quarter * 2);
  const late = samples.slice(-quarter);
  const maximum = (/** @type {Sample[]} */ list, /** @type {keyof Sample} */ key) =>
    Math.max(...list.map((sample) => sample[key]));
  const minimum = (/** @type {Sample[]} */ list, /** @type {keyof Sample} */ key) =>
    Math.min(...list.map((sample) => sample[key]));
  const growth = [];
  const compare = (
    /** @type {keyof Sample} */ key,
    /** @type {number} */ before,
    /** @type {number} */ limit,
  ) => {
    const after = minimum(late, key);
    if (after > limit) growth.push(`${name}: ${key} ${before.toFixed(1)} -> ${after.toFixed(1)}`);
  };
  for (const key of /** @type {const} */ (["rssMb", "heapMb"])) {
    const before = maximum(warm, key);
    compare(key, before, before * MEMORY_FACTOR + MEMORY_SLACK_MB);
  }
  compare("handles", maximum(warm, "handles"), maximum(warm, "handles") + handleSlack);
  compare("timers", maximum(warm, "timers"), maximum(warm, "timers") + 2);
  return growth;
}
