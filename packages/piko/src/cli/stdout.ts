// What becomes of what is printed. A reader that has seen enough (`piko --help | head`) is no error and needs no word;
// whatever else keeps the output from its reader, such as a full disk, is one: the exit code says so, and a line.

import { fstatSync } from "node:fs";

const STDOUT = 1;
const FAILED = 1;

/** Called once, before anything is printed. */
export function watchStdout(): void {
  // There is nobody to tell when this one fails.
  process.stderr.on("error", () => {});
  let failed = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (failed || error.code === "EPIPE") return;
    failed = true;
    process.stderr.write(`can't write to standard output: ${error.message}\n`);
  });
  // At the very end, or whoever ends the process with code 0 would not have heard of it.
  process.on("exit", (code) => {
    if (failed && code === 0) process.exitCode = FAILED;
  });
}

/** Whether somebody reads what is printed, who may stop: only a write finds that out. */
export function hasReader(): boolean {
  const stdout = fstatSync(STDOUT);
  return stdout.isFIFO() || stdout.isSocket();
}
