// Obeys SIGTERM and SIGHUP while the program loads. Without a handler SIGTERM would end the process with another exit code
// than 0, and where it is the first process of a container, it would be ignored; SIGHUP would end what has no terminal.

import { endWithoutTerminal, onHangUp } from "./hang-up.js";

let early = true;

function end(): void {
  process.exit(0);
}

/** Called by the executable, before it loads anything else. */
export function obeyEarlySignal(): void {
  process.on("SIGTERM", end);
  endWithoutTerminal();
  onHangUp(() => {
    if (early) end();
  });
}

/** For those who have more to do at a signal than to end. */
export function replaceEarlySignal(): void {
  early = false;
  process.off("SIGTERM", end);
}
