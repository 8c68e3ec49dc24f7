// Logs that this process stood still: stopped, asleep, or without CPU. A process short of CPU stands still all the time, so only
// a few lines are logged at once, and further ones at intervals, with totals of what was left out.

import type { AwakeClock } from "@piko/tunnel";
import type { Logger } from "./logger.js";

/** Maximum lines in quick succession. */
const BURST = 5;
/** After this time, one more line is allowed. */
const REFILL_MS = 10_000;

/** Returns a function to call each time the process has stood still. */
export function standStillLog(
  logger: Pick<Logger, "warn">,
  clock: Pick<AwakeClock, "now" | "pausedMs">,
): (ms: number) => void {
  let left = BURST;
  let filledMs = Number.NEGATIVE_INFINITY;
  let unlogged = 0;
  let unloggedMs = 0;
  return (ms) => {
    // Includes the pauses: to the reader of the log, that time has passed too.
    const now = clock.now() + clock.pausedMs;
    const filled = Math.floor((now - filledMs) / REFILL_MS);
    if (left + filled >= BURST) {
      left = BURST;
      filledMs = now;
    } else {
      left += filled;
      filledMs += filled * REFILL_MS;
    }
    if (left === 0) {
      unlogged++;
      unloggedMs += ms;
      return;
    }
    left--;
    const before = unlogged === 0 ? {} : { "untold-times": unlogged, "untold-ms": Math.round(unloggedMs) };
    logger.warn("process stood still", { "paused-ms": Math.round(ms), ...before });
    unlogged = 0;
    unloggedMs = 0;
  };
}
