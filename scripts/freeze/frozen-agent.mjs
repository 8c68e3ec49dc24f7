// One of two agents is silent for a while: its process is stopped, or its network path drops everything.

import { Findings } from "./findings.mjs";
import { Load, nowMs } from "./load.mjs";
import { pause, Stand } from "./stand.mjs";
import { SwallowingPath } from "./swallowing-path.mjs";

const FROZEN = 0;
const WARM_UP_MS = 3_000;
/** Time in which a node may still send to a tunnel that has become silent. */
const NOTICE_MS = 2_000;
const MAX_SHARE = 0.01;
const MAX_RETURN_MS = 15_000;
/** Longer for a path: TCP retransmits less and less often. */
const MAX_PATH_RETURN_MS = 30_000;
/** The tunnel is in use again when it gets this part of the new requests of a second. Its share would be half. */
const RECOVERED_SHARE = 0.25;
const WINDOW_MS = 1_000;

/** @param {import("./stand.mjs").Options} options */
export async function frozenAgent({ late, piko, rate, seconds }) {
  const stand = await Stand.start({ piko });
  const [agent] = stand.agents;
  return watch(
    stand,
    { late, rate, seconds, returnMs: MAX_RETURN_MS },
    {
      freeze: () => agent?.signal("SIGSTOP"),
      thaw: () => agent?.signal("SIGCONT"),
    },
  );
}

/** @param {import("./stand.mjs").Options} options */
export async function swallowingPath({ late, piko, rate, seconds }) {
  const path = SwallowingPath.create();
  if (typeof path === "string") return path;
  try {
    const stand = await Stand.start({
      piko,
      upstreamHost: (index) => (index === FROZEN ? path.host : "127.0.0.1"),
      agentPrefix: (index) => (index === FROZEN ? path.prefix : []),
      serviceHost: path.host,
    });
    const port = Number(stand.nodes[FROZEN]?.upstream.split(":")[1]);
    return await watch(
      stand,
      { late, rate, seconds, returnMs: MAX_PATH_RETURN_MS },
      {
        freeze: () => path.swallow(port),
        thaw: () => path.heal(),
      },
    );
  } finally {
    path.remove();
  }
}

/**
 * @param {Stand} stand
 * @param {{ late: number, rate: number, seconds: number, returnMs: number }} options
 * @param {{ freeze: () => void, thaw: () => void }} acts
 */
async function watch(stand, { late, rate, seconds, returnMs }, { freeze, thaw }) {
  const load = new Load(stand.proxies, { get: rate, slow: rate / 50 });
  await pause(WARM_UP_MS);
  freeze();
  const frozenMs = nowMs();
  await pause(NOTICE_MS);
  const [sentBefore, askedBefore] = [await stand.sentTo(FROZEN), load.asked.length];
  await pause(seconds * 1_000 - NOTICE_MS);
  const [sent, begun] = [(await stand.sentTo(FROZEN)) - sentBefore, load.asked.length - askedBefore];
  thaw();
  const thawedMs = nowMs();
  const isBack = async () =>
    timeToReturn(load.asked, await stand.services.arrivals(thawedMs), thawedMs) !== undefined;
  while (!(await isBack()) && nowMs() - thawedMs < returnMs + 2 * WINDOW_MS) await pause(WINDOW_MS);
  const asked = await load.stop();
  const arrivals = await stand.services.arrivals();
  await stand.stop();

  const findings = new Findings();
  const { unanswered } = findings.count(asked, load.longestStallMs);
  findings.promise(
    unanswered.length === 0,
    `${unanswered.length} requests failed whose response had not begun`,
  );
  const busy = unanswered.filter(({ failure }) => failure?.startsWith("503")).length;
  findings.promise(busy === 0, `${busy} of them by a 503`);

  const accepted = new Set(
    arrivals.filter(({ agent, atMs }) => agent === FROZEN && atMs < thawedMs).map(({ id }) => id),
  );
  const during = asked.filter(({ endMs = 0, startMs }) => endMs > frozenMs && startMs < thawedMs);
  const lateMs = findings.latency(
    "not accepted",
    during.filter(({ id }) => !accepted.has(id)),
  );
  findings.promise(
    lateMs < late * 1_000,
    `a request that the silent agent had not accepted was ${Math.round(lateMs)} ms late`,
  );
  findings.add(
    "",
    describeLatest(
      during.filter(({ id }) => !accepted.has(id)),
      frozenMs,
    ),
  );
  findings.latency(
    "accepted",
    during.filter(({ id }) => accepted.has(id)),
  );
  const share = sent / begun;
  findings.add(
    "silent tunnel",
    `got ${sent} of ${begun} new requests (${(share * 100).toFixed(1)} %) from ${NOTICE_MS / 1_000} s on`,
  );
  findings.promise(
    share <= MAX_SHARE,
    `more than ${MAX_SHARE * 100} % of new requests went to the silent tunnel`,
  );

  const backMs = timeToReturn(asked, arrivals, thawedMs);
  findings.add("back in use", backMs === undefined ? "not yet" : `after ${(backMs / 1_000).toFixed(1)} s`);
  findings.promise(
    backMs !== undefined && backMs <= returnMs,
    `not back in use ${returnMs / 1_000} s after it came back`,
  );
  findings.addComplaints([...stand.nodes.map(({ program }) => program), ...stand.agents]);
  return findings;
}

/**
 * @param {import("./load.mjs").Asked[]} asked
 * @param {{ id: number, agent: number, atMs: number }[]} arrivals
 * @param {number} thawedMs
 */
function timeToReturn(asked, arrivals, thawedMs) {
  const through = new Set(arrivals.filter(({ agent }) => agent === FROZEN).map(({ id }) => id));
  // The last requests may not have arrived yet.
  const fresh = asked.filter(({ startMs }) => startMs >= thawedMs);
  const lastMs = fresh.at(-1)?.startMs ?? 0;
  for (let fromMs = thawedMs; fromMs + WINDOW_MS <= lastMs; fromMs += WINDOW_MS / 4) {
    const within = fresh.filter(({ startMs }) => startMs >= fromMs && startMs < fromMs + WINDOW_MS);
    const back = within.filter(({ id }) => through.has(id)).length;
    if (within.length > 0 && back / within.length >= RECOVERED_SHARE) return fromMs - thawedMs;
  }
  return undefined;
}

/**
 * The latest answers, each with the second of the silence in which its request was sent.
 * @param {import("./load.mjs").Asked[]} asked
 * @param {number} frozenMs
 */
function describeLatest(asked, frozenMs) {
  /** @type {Map<number, number[]>} */
  const seconds = new Map();
  for (const { endMs = 0, ownMs, startMs } of asked) {
    const second = Math.floor((startMs - frozenMs) / 1_000);
    seconds.set(second, [...(seconds.get(second) ?? []), endMs - startMs - ownMs]);
  }
  const worst = [...seconds]
    .map(([second, lateMs]) => [second, Math.max(...lateMs)])
    .toSorted(([, a = 0], [, b = 0]) => b - a);
  const texts = worst
    .slice(0, 5)
    .map(([second, lateMs = 0]) => `${(lateMs / 1_000).toFixed(1)} s in second ${second}`);
  return `latest: ${texts.join(", ")}`;
}
