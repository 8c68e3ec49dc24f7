// Loaded into piko's server by `--import` to measure idle tunnels: on SIGUSR2 it collects garbage and appends one line of
// JSON with the memory in use to the file named by BENCH_MEMORY_FILE.
// @ts-check

import { appendFileSync } from "node:fs";

const file = process.env["BENCH_MEMORY_FILE"];

process.on("SIGUSR2", () => {
  const collect = globalThis.gc;
  if (file === undefined || collect === undefined) return;
  collect();
  // Finalizers run a turn later, and what they release is freed by the next collection.
  setTimeout(() => {
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    appendFileSync(file, `${JSON.stringify({ rss, heapUsed, external })}\n`);
  }, 100);
});
