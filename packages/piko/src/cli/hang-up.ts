// SIGHUP means that the terminal is gone. It gracefully ends programs that have a terminal, and no others: a program without one
// (a service, `nohup`) can't have lost it. `piko test cluster` reads its file again instead. Imports nothing of the program, so
// that it can be loaded first.

import { closeSync } from "node:fs";
import { isatty } from "node:tty";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

// Checked at the start: once a terminal is gone, its descriptor no longer counts as one.
const terminals: readonly number[] = [STDIN, STDOUT, STDERR].filter(isatty);
const hasTerminal = terminals.some((fd) => fd === STDIN || fd === STDERR);

/** Whether the program reads its settings again on request, and whether such a request came before it was ready. */
let reloads = false;
let reloadPending = false;

/** Calls `act` each time the terminal goes away. That is signaled twice, by the terminal and by its shell. */
export function onHangUp(act: () => void): void {
  process.on("SIGHUP", () => {
    if (hasTerminal) act();
    else if (!reloads) reloadPending = true;
  });
}

/**
 * Calls `act` on each SIGHUP in a program without a terminal: it is a request to read the settings again. A request that came
 * while the program was starting is handled now.
 */
export function onReload(act: () => void): void {
  reloads = true;
  process.on("SIGHUP", () => {
    if (!hasTerminal) act();
  });
  if (!reloadPending) return;
  reloadPending = false;
  act();
}

/** Called once. At exit, Node restores the terminal's settings, and aborts if the terminal is gone. */
export function endWithoutTerminal(): void {
  process.on("exit", () => {
    for (const fd of terminals) if (!isatty(fd)) closeSync(fd);
  });
}
