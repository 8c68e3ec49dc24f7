// `npm run bench -- --fairness`: how long a small request takes while one bulk stream, down or up, uses all the bandwidth of
// the same tunnel. Idle and loaded windows alternate. Each has its own percentiles, and their medians count, so that a bad
// moment of the machine spoils only one window. nginx runs the same test, to tell the machine's part from piko's.
// @ts-check

import { fileURLToPath } from "node:url";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { HOST } from "./load.mjs";
import { requireProgram } from "./programs.mjs";
import { nginx } from "./subjects/nginx.mjs";
import { piko } from "./subjects/piko.mjs";
import { median } from "./summary.mjs";
import { LOAD_CORE } from "./workbench.mjs";

const SERVICE = fileURLToPath(new URL("./fairness-service.mjs", import.meta.url));
const PROBER = fileURLToPath(new URL("./fairness-prober.mjs", import.meta.url));
/** Maximum latency of a request during a bulk stream, as a multiple of its latency without one. */
const MAX_RATIO = 5;
/** Time for the bulk stream to fill all buffers. */
const WARMUP_MS = 500;
const PATIENCE_MS = 20_000;

/**
 * @typedef {"idle" | "download" | "upload"} Condition
 * @typedef {{ p50Us: number, p99Us: number, megabytesPerSecond?: number }} Window
 */

/** @type {readonly Condition[]} */
const CONDITIONS = ["idle", "download", "upload"];

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureFairness({ bench, options }, say) {
  const service = bench.start({
    name: "service",
    command: options.nodeFile,
    args: [SERVICE],
    core: LOAD_CORE,
  });
  const port = await bench.waitFor("service", [service], () =>
    /^\d+(?=\n)/.exec(readFileSync(service.stdoutFile, "utf8"))?.at(0),
  );
  const lines = [
    "| | | alone | beside a download | beside an upload | bulk MB/s down, up |",
    "|---|---|---|---|---|---|",
  ];
  let met = true;
  for (const subject of [nginx, piko]) {
    const running = await subject.start({ bench, options, backendPort: Number(port) });
    /** @type {Record<Condition, Window[]>} */
    const windows = { idle: [], download: [], upload: [] };
    try {
      await probe(bench, options, running.origin, options.warmupSeconds);
      for (let round = 1; round <= options.rounds; round += 1) {
        say(`fairness: ${subject.name}: round ${round}/${options.rounds}`);
        for (const condition of CONDITIONS) {
          windows[condition].push(await measureWindow(bench, options, running.origin, condition));
        }
      }
    } finally {
      await Promise.all(running.parts.map(({ program }) => program.stop()));
    }
    const of = (/** @type {Condition} */ condition, /** @type {keyof Window} */ key) =>
      median(windows[condition].map((each) => each[key] ?? 0));
    for (const key of /** @type {const} */ (["p50Us", "p99Us"])) {
      const idle = of("idle", key);
      const cell = (/** @type {Condition} */ condition) =>
        `${milliseconds(of(condition, key))} (${(of(condition, key) / idle).toFixed(1)}x)`;
      const bulk = `${of("download", "megabytesPerSecond").toFixed(0)}, ${of("upload", "megabytesPerSecond").toFixed(0)}`;
      const name = key === "p50Us" ? "median, ms" : "p99, ms";
      lines.push(
        `| ${subject.name} | ${name} | ${milliseconds(idle)} | ${cell("download")} | ${cell("upload")} | ${bulk} |`,
      );
      const worst = Math.max(of("download", key), of("upload", key));
      if (subject === piko && key === "p99Us") met = worst <= MAX_RATIO * idle;
    }
  }
  lines.push("", `p99 beside one bulk stream at most ${MAX_RATIO}x that of idle: ${met ? "met" : "MISSED"}`);
  return { report: `${lines.join("\n")}\n`, met };
}

/** @param {number} us */
function milliseconds(us) {
  return (us / 1000).toFixed(2);
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./options.mjs").Options} options
 * @param {string} origin
 * @param {Condition} condition
 * @returns {Promise<Window>}
 */
async function measureWindow(bench, options, origin, condition) {
  if (condition === "idle") return await probe(bench, options, origin, options.seconds);
  const seconds = options.seconds + WARMUP_MS / 1000 + 1;
  const upload = condition === "upload";
  const bulk = bench.start({
    name: "curl",
    command: requireProgram("curl"),
    args: [
      "--silent",
      "--noproxy",
      "*",
      "--output",
      "/dev/null",
      "--header",
      `Host: ${HOST}`,
      "--header",
      "Expect:",
      ...(upload ? ["--request", "POST", "--upload-file", "/dev/zero"] : []),
      "--max-time",
      String(seconds),
      "--write-out",
      `%{size_${upload ? "upload" : "download"}} %{time_total}\n`,
      `${origin}/endless`,
    ],
    core: LOAD_CORE,
  });
  await delay(WARMUP_MS);
  const window = await probe(bench, options, origin, options.seconds);
  const written = await bench.waitFor(
    "end of the bulk stream",
    [],
    () => /^\d+ [\d.]+(?=\n)/.exec(readFileSync(bulk.stdoutFile, "utf8"))?.[0],
    PATIENCE_MS,
  );
  const [bytes = 0, time = 1] = written.split(" ").map(Number);
  // A stream that ended early didn't load the whole window.
  if (time < seconds - 0.1) throw new Error(`the ${condition} ended after ${time} s`);
  return { ...window, megabytesPerSecond: bytes / time / 1e6 };
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./options.mjs").Options} options
 * @param {string} origin
 * @param {number} seconds
 * @returns {Promise<Window>}
 */
async function probe(bench, options, origin, seconds) {
  const output = await bench.run({
    name: "prober",
    command: options.nodeFile,
    args: [PROBER, new URL(origin).port, HOST, String(seconds)],
    core: LOAD_CORE,
    timeoutMs: seconds * 1000 + PATIENCE_MS,
  });
  return JSON.parse(output);
}
