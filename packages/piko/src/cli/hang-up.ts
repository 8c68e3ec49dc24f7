// SIGHUP says that the terminal is gone. It ends what belongs to a terminal, in good order, and nothing else: what runs
// without one (a service, `nohup`) has nothing that could be gone. `piko test cluster` reads its file again instead.
// Imports nothing of the program, so that it is there first.

import { closeSync } from "node:fs";
import { isatty } from "node:tty";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

// Asked at the start: a terminal that is gone is no terminal any more.
const terminals: readonly number[] = [STDIN, STDOUT, STDERR].filter(isatty);
const hasTerminal = terminals.some((fd) => fd === STDIN || fd === STDERR);

/** Whether somebody reads settings again when asked, and whether that was asked before. */
let reloads = false;
let askedEarly = false;

/** Calls back each time when the terminal goes away. Terminals say so twice, by themselves and through their shell. */
export function onHangUp(act: () => void): void {
  process.on("SIGHUP", () => {
    if (hasTerminal) act();
    else if (!reloads) askedEarly = true;
  });
}

/**
 * Calls back at each SIGHUP that isn't the end of a terminal, since there is none: somebody wants the settings read again. One
 * that came before this was called, while the program was starting, counts now.
 */
export function onReload(act: () => void): void {
  reloads = true;
  process.on("SIGHUP", () => {
    if (!hasTerminal) act();
  });
  if (!askedEarly) return;
  askedEarly = false;
  act();
}

/** Called once: at its end Node sets the terminal back as it was, and aborts if there is none any more. */
export function endWithoutTerminal(): void {
  process.on("exit", () => {
    for (const fd of terminals) if (!isatty(fd)) closeSync(fd);
  });
}
