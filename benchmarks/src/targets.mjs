// What piko promises, as ratios to other subjects of the same run, because absolute figures say more about the machine than
// about the program. `--check` measures what the targets need, and fails if one is missed.
// @ts-check

/**
 * @typedef {import("./summary.mjs").Term} Term
 *
 * @typedef {object} Target
 * @property {string} title
 * @property {number} limit
 * @property {"most" | "least"} direction
 * @property {Term} value
 * @property {Term} base what `value` is divided by
 *
 * @typedef {object} Verdict
 * @property {string} title
 * @property {number} limit
 * @property {"most" | "least"} direction
 * @property {number} value
 * @property {boolean} met
 */

/** @param {string} name */
const cpuOf = (name) => ({ subject: name, read: cpuSum });
const nginx = cpuOf("nginx");
const nodeHttp = cpuOf("node-http");
const both = cpuOf("piko");
const server = { subject: "piko", read: cpuOfRole("server") };
const agent = { subject: "piko", read: cpuOfRole("agent") };

/** @type {readonly Target[]} */
const TARGETS = [
  cpu("small", "100 B", "piko server / nginx", server, nginx, 1.0),
  cpu("medium", "10 KiB", "piko server / nginx", server, nginx, 1.1),
  cpu("large", "1 MiB", "piko server / nginx", server, nginx, 2.0),
  cpu("small", "100 B", "piko agent / nginx", agent, nginx, 1.0),
  cpu("medium", "10 KiB", "piko agent / nginx", agent, nginx, 1.3),
  cpu("large", "1 MiB", "piko agent / nginx", agent, nginx, 2.6),
  cpu("medium", "10 KiB", "piko server + agent / nginx", both, nginx, 2.8),
  cpu("small", "100 B", "piko server + agent / node:http proxy", both, nodeHttp, 0.35),
  cpu("medium", "10 KiB", "piko server + agent / node:http proxy", both, nodeHttp, 0.4),
  toNginx("p50 of one connection", "single", (figures) => figures.p50Us, "most", 1.5),
  toNginx("p99 at 1,000 requests/s", "paced", (figures) => figures.p99Us, "most", 2),
  toNginx("MB/s of one download", "bulk", (figures) => figures.megabytesPerSecond, "least", 0.45),
];
/** KiB of the server's resident memory. */
const IDLE_TUNNEL_KIB = 10;

/**
 * @param {string} caseName
 * @param {string} label
 * @param {string} what
 * @param {Omit<Term, "case">} value
 * @param {Omit<Term, "case">} base
 * @param {number} limit
 * @returns {Target}
 */
function cpu(caseName, label, what, value, base, limit) {
  return {
    title: `CPU per request at ${label}, ${what}`,
    limit,
    direction: "most",
    value: { ...value, case: caseName },
    base: { ...base, case: caseName },
  };
}

/**
 * @param {string} what
 * @param {string} caseName
 * @param {Term["read"]} read
 * @param {"most" | "least"} direction
 * @param {number} limit
 * @returns {Target}
 */
function toNginx(what, caseName, read, direction, limit) {
  return {
    title: `${what}, piko / nginx`,
    limit,
    direction,
    value: { subject: "piko", case: caseName, read },
    base: { subject: "nginx", case: caseName, read },
  };
}

/** @param {import("./summary.mjs").Figures} figures */
export function cpuSum(figures) {
  return figures.cpuUsPerRequestSum;
}

/**
 * @param {string} role
 * @returns {Term["read"]}
 */
function cpuOfRole(role) {
  return (figures) => figures.cpuUsPerRequest[role];
}

/**
 * Whether a target needs this case of this subject.
 * @param {string} subject
 * @param {string} caseName
 */
export function isJudged(subject, caseName) {
  return TARGETS.some(({ value, base }) =>
    [value, base].some((term) => term.subject === subject && term.case === caseName),
  );
}

/**
 * Judges the targets whose subjects and cases were run.
 * @param {import("./summary.mjs").Summary} summary
 * @param {import("./idle-tunnels.mjs").IdleResult | undefined} idle
 * @returns {Verdict[]}
 */
export function judge(summary, idle) {
  /** @type {Verdict[]} */
  const verdicts = TARGETS.flatMap(({ title, limit, direction, value: term, base }) => {
    const value = summary.ratio(term, base);
    if (value === undefined) return [];
    return [{ title, limit, direction, value, met: direction === "most" ? value <= limit : value >= limit }];
  });
  if (idle !== undefined) {
    const value = idle.residentBytesPerTunnel / 1024;
    verdicts.push({
      title: "server memory per idle tunnel, KiB",
      limit: IDLE_TUNNEL_KIB,
      direction: "most",
      value,
      met: value <= IDLE_TUNNEL_KIB,
    });
  }
  return verdicts;
}

/** The number of all targets. */
export const TARGET_COUNT = TARGETS.length + 1;
