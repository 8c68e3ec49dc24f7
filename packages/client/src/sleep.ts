// A wait on the given clock, which a signal ends early.

import type { Clock } from "@piko/tunnel";

/** Resolves in `delayMs`, or as soon as the signal aborts: who waits looks at it then. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      signal.removeEventListener("abort", wake);
      clock.clearTimeout(timer);
      resolve();
    };
    const timer = clock.setTimeout(wake, delayMs);
    signal.addEventListener("abort", wake);
  });
}
