// Obeys SIGTERM while the program loads. Without a handler the signal would end the process with another exit code than 0,
// and where it is the first process of a container, it would be ignored. Imports nothing, so that it is there first.

function end(): void {
  process.exit(0);
}

/** Called by the executable, before it loads anything else. */
export function obeyEarlySignal(): void {
  process.on("SIGTERM", end);
}

/** For those who have more to do at a signal than to end. */
export function replaceEarlySignal(): void {
  process.off("SIGTERM", end);
}
