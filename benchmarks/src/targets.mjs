// What piko promises, as ratios to subjects of the same run: absolute figures say more about the machine than
// about the program. `--gate` fails a run that misses one.
// @ts-check

/**
 * @typedef {object} Target
 * @property {string} title
 * @property {number} limit
 * @property {"most" | "least"} direction
 * @property {(summary: import("./summary.mjs").Summary, idle: import("./idle-tunnels.mjs").IdleResult | undefined) => number | undefined} value
 *
 * @typedef {object} Verdict
 * @property {string} title
 * @property {number} limit
 * @property {"most" | "least"} direction
 * @property {number} value
 * @property {boolean} met
 */

/** @type {readonly Target[]} */
const TARGETS = [
  serverToNginx("small", "100 B", 1.1),
  serverToNginx("medium", "10 KiB", 1.1),
  serverToNginx("large", "1 MiB", 2.2),
  sumToNodeHttp("small", "100 B", 0.4),
  sumToNodeHttp("medium", "10 KiB", 0.4),
  sumToNodeHttp("large", "1 MiB", 1.0),
  {
    title: "median latency at c=1, piko / nginx",
    limit: 1.4,
    direction: "most",
    value: (summary) => ratio(summary.find("piko", "single")?.p50Us, summary.find("nginx", "single")?.p50Us),
  },
  {
    title: "bulk MB/s, piko / nginx",
    limit: 0.24,
    direction: "least",
    value: (summary) =>
      ratio(
        summary.find("piko", "bulk")?.megabytesPerSecond,
        summary.find("nginx", "bulk")?.megabytesPerSecond,
      ),
  },
  {
    title: "server memory per idle tunnel, KiB",
    limit: 12,
    direction: "most",
    value: (_, idle) => (idle === undefined ? undefined : idle.residentBytesPerTunnel / 1024),
  },
];

/**
 * @param {string} caseName
 * @param {string} label
 * @param {number} limit
 * @returns {Target}
 */
function serverToNginx(caseName, label, limit) {
  return {
    title: `CPU per request at ${label}, piko server / nginx`,
    limit,
    direction: "most",
    value: (summary) =>
      ratio(
        summary.find("piko", caseName)?.cpuUsPerRequest["server"],
        summary.find("nginx", caseName)?.cpuUsPerRequestSum,
      ),
  };
}

/**
 * @param {string} caseName
 * @param {string} label
 * @param {number} limit
 * @returns {Target}
 */
function sumToNodeHttp(caseName, label, limit) {
  return {
    title: `CPU per request at ${label}, piko server + agent / node:http proxy`,
    limit,
    direction: "most",
    value: (summary) =>
      ratio(
        summary.find("piko", caseName)?.cpuUsPerRequestSum,
        summary.find("node-http", caseName)?.cpuUsPerRequestSum,
      ),
  };
}

/**
 * @param {number | undefined} value
 * @param {number | undefined} base
 */
export function ratio(value, base) {
  return value === undefined || base === undefined || base === 0 ? undefined : value / base;
}

/**
 * Judges those targets whose subjects and cases were run.
 * @param {import("./summary.mjs").Summary} summary
 * @param {import("./idle-tunnels.mjs").IdleResult | undefined} idle
 * @returns {Verdict[]}
 */
export function judge(summary, idle) {
  return TARGETS.flatMap(({ title, limit, direction, value: read }) => {
    const value = read(summary, idle);
    if (value === undefined) return [];
    return [{ title, limit, direction, value, met: direction === "most" ? value <= limit : value >= limit }];
  });
}
