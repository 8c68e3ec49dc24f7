// The cost of other tunnels, measured once and quoted in docs/benchmarks.md: they aren't part of a run, because not every
// machine can build them. The figures come from one interleaved run; only their ratios to nginx in the same run are shown.
// @ts-check

/**
 * @typedef {object} OtherTunnel
 * @property {string} title
 * @property {number} serverUs CPU time per request at 100 B, 32 connections
 * @property {number} agentUs
 * @property {number} mediumUs both, at 10 KiB
 * @property {number} largeUs both, at 1 MiB
 * @property {number} megabytesPerSecond of one download
 */

export const NGINX = { smallUs: 14.0, mediumUs: 17.1, largeUs: 334, megabytesPerSecond: 949 };

/** @type {readonly OtherTunnel[]} */
export const OTHER_TUNNELS = [
  tunnel("Go Piko v0.9.0", 160.5, 209.7, 465, 3449, 406),
  tunnel("frp 0.70.1, HTTP mode", 114, 140, 311, 1716, 573),
  tunnel("frp 0.70.1, TCP mode", 12.7, 14.1, 33.7, 1326, 577),
  tunnel("rathole 0.5.0, TCP", 9.9, 11.0, 47.6, 1551, 517),
  tunnel("chisel 1.11.5, TCP", 11.3, 12.5, 68, 4132, 209),
];

export const METHOD = `One interleaved run in November 2026, three rounds, medians, with the same method, on a shared virtual machine with 2
cores (Xeon), nginx 1.22: programs with their default settings, built from source, with an access log if they have one
(without it, Go Piko costs 6 % less). The TCP modes and chisel carry a keep-alive connection as one stream and do no work
per request: they show the minimum cost of a tunnel, not the cost of a gateway. An idle tunnel took 56 KiB in the Go Piko server.
At a fixed 1,000 requests/s, p50 / p99 in ms were: nginx 0.4 / 1.2, frp in HTTP mode 2.1 / 4.4, Go Piko 3.0 / 6.1.`;

/**
 * @param {string} title
 * @param {number} serverUs
 * @param {number} agentUs
 * @param {number} mediumUs
 * @param {number} largeUs
 * @param {number} megabytesPerSecond
 * @returns {OtherTunnel}
 */
function tunnel(title, serverUs, agentUs, mediumUs, largeUs, megabytesPerSecond) {
  return { title, serverUs, agentUs, mediumUs, largeUs, megabytesPerSecond };
}
