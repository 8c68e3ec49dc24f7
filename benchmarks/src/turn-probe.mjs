// Loaded into piko's server by `--import` to measure floods: on SIGUSR2 it appends one line of JSON with the CPU time and
// the number of event loop turns so far to the file named by BENCH_TURN_FILE. Unlike a latency, CPU time per turn doesn't
// depend on what else the machine does.
// @ts-check

import { appendFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

const file = process.env["BENCH_TURN_FILE"];

process.on("SIGUSR2", () => {
  if (file === undefined) return;
  const { user, system } = process.cpuUsage();
  const turns = performance.nodeTiming.uvMetricsInfo.loopCount;
  appendFileSync(file, `${JSON.stringify({ cpuUs: user + system, turns })}\n`);
});
