// Handles errors of standard output. A reader that has seen enough (`piko --help | head`) is not an error and isn't reported.
// Anything else that prevents output, such as a full disk, is one: a line and the exit code report it.

import { fstatSync } from "node:fs";

const STDOUT = 1;
const FAILED = 1;

/** Called once, before anything is printed. */
export function watchStdout(): void {
  // There is nowhere to report an error of stderr.
  process.stderr.on("error", () => {});
  let failed = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (failed || error.code === "EPIPE") return;
    failed = true;
    process.stderr.write(`can't write to standard output: ${error.message}\n`);
  });
  // At the very end: code that ends the process with 0 doesn't know about the error.
  process.on("exit", (code) => {
    if (failed && code === 0) process.exitCode = FAILED;
  });
}

/** Whether another process reads the output. It may stop at any time, which only a write can detect. */
export function hasReader(): boolean {
  const stdout = fstatSync(STDOUT);
  return stdout.isFIFO() || stdout.isSocket();
}
