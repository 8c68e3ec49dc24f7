// Handles SIGTERM and SIGHUP while the program loads. Without a handler, SIGTERM would end the process with an exit code other
// than 0, or be ignored if it is the first process of a container; SIGHUP would end a process without a terminal.

import { endWithoutTerminal, onHangUp } from "./hang-up.js";

let early = true;

function end(): void {
  process.exit(0);
}

/** Called by the executable before it loads anything else. */
export function handleEarlySignal(): void {
  process.on("SIGTERM", end);
  endWithoutTerminal();
  onHangUp(() => {
    if (early) end();
  });
}

/** Called by programs that do more on a signal than exit. */
export function replaceEarlySignal(): void {
  early = false;
  process.off("SIGTERM", end);
}
