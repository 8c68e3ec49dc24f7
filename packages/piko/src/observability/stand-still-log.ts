// Says in the log that this process stood still: stopped, asleep, or without CPU. One that is starved does so all the
// time; a few lines are said at once, and further ones one by one, with what was left out before.

import type { AwakeClock } from "@piko/tunnel";
import type { Logger } from "./logger.js";

/** Lines that may come close together. */
const BURST = 5;
/** One more may come after this time. */
const REFILL_MS = 10_000;

/** Returns what to call with each time that the process stood still. */
export function standStillLog(
  logger: Pick<Logger, "warn">,
  clock: Pick<AwakeClock, "now" | "pausedMs">,
): (ms: number) => void {
  let left = BURST;
  let filledMs = Number.NEGATIVE_INFINITY;
  let untold = 0;
  let untoldMs = 0;
  return (ms) => {
    // With the pauses, in which a log's reader waits too.
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
      untold++;
      untoldMs += ms;
      return;
    }
    left--;
    const before = untold === 0 ? {} : { "untold-times": untold, "untold-ms": Math.round(untoldMs) };
    logger.warn("process stood still", { "paused-ms": Math.round(ms), ...before });
    untold = 0;
    untoldMs = 0;
  };
}
