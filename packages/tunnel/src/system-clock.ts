// The clock of the process. The only place that reads Node's time.

/* oxlint-disable no-restricted-globals, no-restricted-properties -- where time comes from */

import { performance } from "node:perf_hooks";
import { AwakeClock } from "./awake-clock.js";

/**
 * The real clock, without the times in which this process was stopped. `performance` is imported because the global of that
 * name is a getter, more expensive than the call itself.
 */
export const systemClock: AwakeClock = new AwakeClock({
  now: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
});
