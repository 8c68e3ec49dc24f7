// One of the processes that hold the tunnels of `npm run scale`: opens listeners with the SDK, keeps replacing some of them,
// and knows which ones exist. Controlled by messages from scale.mjs.

import { once } from "node:events";
import { listen } from "../../packages/client/dist/index.js";
import { startBalancer } from "./balancer.mjs";

const OPENING = 32;
/** Maximum time until a listener has all its tunnels: several attempts through the balancer, on a busy machine. */
const CONNECT_TIMEOUT_MS = 60_000;

/** @typedef {{ prefix: string, urls: readonly string[], tunnels: number, count: number }} Task */

/** @type {import("@piko/client").Listener[]} */
const open = [];
let opened = 0;
/** @type {NodeJS.Timeout | undefined} */
let timer;
/** @type {Set<Promise<void>>} */
const changing = new Set();
let changes = 0;
let lastChangeMs = 0;
/** @type {Promise<string> | undefined} */
let balancer;

/** Listeners with one tunnel are spread over the nodes; those with several find their nodes behind a balancer. */
async function urlFor(/** @type {number} */ number, /** @type {Task} */ { tunnels, urls }) {
  return tunnels === 1 ? urls[number % urls.length] : (balancer ??= startBalancer(urls));
}

/** Waits until a listener has all its tunnels. */
async function untilConnected(/** @type {import("@piko/client").Listener} */ listener) {
  const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  const { endpointId } = listener;
  for (;;) {
    const { open: count, wanted } = listener.tunnels;
    if (count >= wanted) return;
    await once(listener, "tunnels", { signal }).catch((cause) => {
      throw new Error(`${endpointId}: ${count} of ${wanted} tunnels after ${CONNECT_TIMEOUT_MS} ms`, {
        cause,
      });
    });
  }
}

async function openOne(/** @type {Task} */ task) {
  const number = opened++;
  const { prefix, tunnels } = task;
  const url = await urlFor(number, task);
  const listener = await listen(`${prefix}-${number}`, { url, tunnels, connectTimeoutMs: 120_000 });
  listener.on("tunnels", () => (lastChangeMs = Date.now()));
  await untilConnected(listener);
  open.push(listener);
}

async function openMany(/** @type {Task} */ task) {
  let left = task.count;
  const work = async () => {
    while (left-- > 0) await openOne(task);
  };
  await Promise.all(Array.from({ length: OPENING }, work));
}

/** Replaces one listener by another. */
async function replaceOne(/** @type {Task} */ task) {
  const [old] = open.splice(Math.floor(Math.random() * open.length), 1);
  await Promise.all([old?.close({ graceMs: 0 }), openOne(task)]);
  changes++;
  lastChangeMs = Date.now();
}

function churn(/** @type {Task} */ task) {
  const startMs = performance.now();
  let begun = 0;
  timer = setInterval(() => {
    // Makes up for a late timer, but limits the number of changes in progress at a time.
    const due = ((performance.now() - startMs) / 1_000) * task.count;
    while (begun < due && changing.size < 2 * task.count + 16) {
      begun++;
      const change = replaceOne(task).finally(() => changing.delete(change));
      changing.add(change);
    }
  }, 10);
}

async function stopChurn() {
  clearInterval(timer);
  await Promise.all(changing);
  await Promise.all(open.map(untilConnected));
  const endpoints = open.map(({ endpointId, tunnels }) => [endpointId, tunnels.nodeIds]);
  return { lastChangeMs, changes, endpoints };
}

async function execute(/** @type {Task & { what: string }} */ { what, ...task }) {
  if (what === "open") await openMany(task);
  else if (what === "churn") churn(task);
  process.send?.(what === "stop" ? await stopChurn() : {});
}

process.on("message", (message) => void execute(/** @type {any} */ (message)));
process.on("disconnect", () => process.exit(0));
