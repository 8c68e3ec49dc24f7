// One of the processes that hold the tunnels of `npm run scale`: opens listeners by the SDK, replaces some of them all the
// time, and knows which ones there are. Told what to do by messages of scale.mjs.

import { listen } from "../../packages/client/dist/index.js";

const OPENING = 32;
/** @type {{ id: string, node: number, listener: import("@piko/client").Listener }[]} */
const open = [];
let opened = 0;
/** @type {NodeJS.Timeout | undefined} */
let timer;
/** @type {Set<Promise<void>>} */
const changing = new Set();
let changes = 0;
let lastChangeMs = 0;

/**
 * @param {string} prefix
 * @param {readonly string[]} urls
 */
async function openOne(prefix, urls) {
  const number = opened++;
  const node = number % urls.length;
  const id = `${prefix}-${number}`;
  const listener = await listen(id, { url: urls[node], tunnels: 1, connectTimeoutMs: 120_000 });
  open.push({ id, node, listener });
}

/**
 * @param {string} prefix
 * @param {readonly string[]} urls
 * @param {number} count
 */
async function openMany(prefix, urls, count) {
  let left = count;
  const work = async () => {
    while (left-- > 0) await openOne(prefix, urls);
  };
  await Promise.all(Array.from({ length: OPENING }, work));
}

/**
 * Removes one listener and adds another.
 * @param {string} prefix
 * @param {readonly string[]} urls
 */
async function replaceOne(prefix, urls) {
  const [old] = open.splice(Math.floor(Math.random() * open.length), 1);
  await Promise.all([old?.listener.close({ graceMs: 0 }), openOne(prefix, urls)]);
  changes++;
  lastChangeMs = Date.now();
}

/**
 * @param {string} prefix
 * @param {readonly string[]} urls
 * @param {number} perSecond
 */
function churn(prefix, urls, perSecond) {
  const startMs = performance.now();
  let begun = 0;
  timer = setInterval(() => {
    // Those that a late timer owes are made up for, but no more than can be under way at a time.
    const due = ((performance.now() - startMs) / 1_000) * perSecond;
    while (begun < due && changing.size < 2 * perSecond + 16) {
      begun++;
      const change = replaceOne(prefix, urls).finally(() => changing.delete(change));
      changing.add(change);
    }
  }, 10);
}

async function stopChurn() {
  clearInterval(timer);
  await Promise.all(changing);
  return { lastChangeMs, changes, endpoints: open.map(({ id, node }) => [id, node]) };
}

async function obey(/** @type {any} */ { what, prefix, urls, count }) {
  if (what === "open") await openMany(prefix, urls, count);
  else if (what === "churn") churn(prefix, urls, count);
  process.send?.(what === "stop" ? await stopChurn() : {});
}

process.on("message", (message) => void obey(message));
process.on("disconnect", () => process.exit(0));
