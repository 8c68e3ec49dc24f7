// A wait on a given clock that a signal can end early.

import type { Clock } from "@piko/tunnel";

/** Resolves after `delayMs`, or as soon as the signal aborts; the caller checks which. */
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
