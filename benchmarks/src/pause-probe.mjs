// Loaded into piko's server by `--import`: on SIGUSR2 it appends one line of JSON with the longest pause of the event loop
// since the previous signal to the file named by BENCH_PAUSE_FILE.
// @ts-check

import { appendFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const file = process.env["BENCH_PAUSE_FILE"];
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

process.on("SIGUSR2", () => {
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ longestMs: delay.max / 1e6 })}\n`);
  delay.reset();
});
