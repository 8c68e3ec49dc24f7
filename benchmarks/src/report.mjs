// The result as Markdown: one table per case, then memory, then the targets.
// @ts-check

import { FOREIGN_LIMIT } from "./measure.mjs";
import { cpuSum } from "./targets.mjs";

/**
 * @typedef {object} Results
 * @property {readonly string[]} machine lines that describe where and how the run took place
 * @property {import("./rounds.mjs").Plan} plan
 * @property {readonly import("./measure.mjs").Sample[]} samples
 * @property {import("./summary.mjs").Summary} summary
 * @property {import("./idle-tunnels.mjs").IdleResult | undefined} idle
 * @property {import("./reconnect.mjs").ReconnectResult | undefined} reconnect
 * @property {readonly import("./targets.mjs").Verdict[]} verdicts
 */

/**
 * @param {Results} results
 * @returns {string}
 */
export function formatReport(results) {
  const cases = [...new Set(results.plan.flatMap((part) => part.cases))];
  const sections = [
    `# Benchmark\n\n${results.machine.map((line) => `* ${line}`).join("\n")}`,
    ...cases.map((each) => formatCase(results, each)),
    formatMemory(results),
    formatVerdicts(results.verdicts),
    formatWarnings(results),
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/**
 * @param {Results} results
 * @param {import("./cases.mjs").Case} each
 */
export function formatCase(results, each) {
  const bulk = each.kind === "bulk" || each.kind === "upload";
  const rows = results.plan.flatMap(({ subject }) => {
    const figures = results.summary.find(subject.name, each.name);
    if (figures === undefined) return [];
    const first = bulk
      ? [figures.megabytesPerSecond.toFixed(0), figures.cpuMsPerMib.toFixed(2)]
      : [
          figures.requestsPerSecond.toFixed(0),
          `${formatMs(figures.p50Us)} / ${formatMs(figures.p99Us)}`,
          formatCpu(figures),
        ];
    return [
      [
        subject.title,
        ...first,
        formatRatio(results, subject.name, "nginx", each.name),
        formatRatio(results, subject.name, "node-http", each.name),
        `${(figures.spread * 100).toFixed(0)} %`,
      ],
    ];
  });
  const columns = bulk ? ["MB/s", "CPU ms per MiB"] : ["requests/s", "p50 / p99 ms", "CPU us per request"];
  return `## ${each.title}\n\n${formatTable(
    ["", ...columns, "CPU / nginx", "CPU / node:http", "spread of CPU"],
    rows,
  )}`;
}

/** @param {import("./summary.mjs").Figures} figures */
function formatCpu(figures) {
  const digits = figures.cpuUsPerRequestSum < 1000 ? 1 : 0;
  const parts = Object.entries(figures.cpuUsPerRequest);
  const sum = figures.cpuUsPerRequestSum.toFixed(digits);
  if (parts.length < 2) return sum;
  return `${parts.map(([role, value]) => `${role} ${value.toFixed(digits)}`).join(" + ")} = ${sum}`;
}

/**
 * The CPU time of one subject as a multiple of another's.
 * @param {Results} results
 * @param {string} subject
 * @param {string} base
 * @param {string} caseName
 */
function formatRatio({ summary }, subject, base, caseName) {
  const found = summary.ratio(
    { subject, case: caseName, read: cpuSum },
    { subject: base, case: caseName, read: cpuSum },
  );
  return found === undefined ? "" : `${found.toFixed(2)}x`;
}

/** @param {number | undefined} us */
export function formatMs(us) {
  return us === undefined ? "" : (us / 1000).toFixed(us < 10_000 ? 2 : 1);
}

/** @param {Results} results */
function formatMemory(results) {
  const rows = results.plan.flatMap(({ subject }) => {
    /** @type {Map<string, number>} */
    const peaks = new Map();
    for (const figures of results.summary.all()) {
      if (figures.subject !== subject.name) continue;
      for (const [role, bytes] of Object.entries(figures.residentBytes)) {
        peaks.set(role, Math.max(peaks.get(role) ?? 0, bytes));
      }
    }
    return [...peaks].map(([role, bytes]) => [`${subject.title}: ${role}`, (bytes / 2 ** 20).toFixed(0)]);
  });
  const table = rows.length === 0 ? "" : formatTable(["", "resident MiB, largest after a case"], rows);
  const tunnels = formatTunnels(results);
  if (table === "" && tunnels === "") return "";
  return ["## Memory", table, tunnels].filter((part) => part !== "").join("\n\n");
}

/** @param {Results} results */
export function formatTunnels({ idle, reconnect }) {
  const lines = [];
  if (idle !== undefined) {
    lines.push(
      `Idle tunnels: each of ${idle.tunnels} takes ${kib(idle.residentBytesPerTunnel)} KiB of the server's resident ` +
        `memory (JavaScript heap ${kib(idle.heapBytesPerTunnel)} KiB); ` +
        `the server has ${(idle.residentBytes / 2 ** 20).toFixed(0)} MiB in total.`,
    );
  }
  if (reconnect !== undefined) {
    const { tunnels, durationMs, attempts, serverCpuMs, agentsCpuMs } = reconnect;
    lines.push(
      `Reconnect: after a server with ${tunnels} tunnels was killed and restarted, all of them were open again within ` +
        `${(durationMs / 1000).toFixed(1)} s (${attempts} attempts). That took ${(serverCpuMs / 1000).toFixed(1)} s of ` +
        `CPU time in the server and ${(agentsCpuMs / 1000).toFixed(1)} s in the agents.`,
    );
  }
  return lines.join("\n\n");
}

/** @param {number} bytes */
function kib(bytes) {
  return (bytes / 1024).toFixed(1);
}

/** @param {readonly import("./targets.mjs").Verdict[]} verdicts */
export function formatVerdicts(verdicts) {
  if (verdicts.length === 0) return "";
  const rows = verdicts.map(({ title, value, limit, direction, met }) => [
    title,
    value.toFixed(2),
    `at ${direction} ${limit}`,
    met ? "met" : "**missed**",
  ]);
  return `## Targets\n\n${formatTable(["", "value", "target", ""], rows)}`;
}

/** @param {Pick<Results, "samples">} results */
export function formatWarnings({ samples }) {
  const disturbed = samples.filter((sample) => sample.foreignShare > FOREIGN_LIMIT);
  if (disturbed.length === 0) return "";
  const max = Math.max(...disturbed.map((sample) => sample.foreignShare));
  return (
    `Warning: in ${disturbed.length} of ${samples.length} samples other programs took up to ` +
    `${(max * 100).toFixed(0)} % of a core. This affects all figures; run again on a quiet machine.`
  );
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
export function formatTable(head, rows) {
  const line = (/** @type {readonly string[]} */ cells) => `| ${cells.join(" | ")} |`;
  const rule = `|${head.map((_, index) => (index === 0 ? "---" : "---:")).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}
