// Waiting with a limit: a test that waits for something that doesn't happen fails soon, and reports what it waited for.

import { setTimeout as delay } from "node:timers/promises";

/** Maximum wait for something that would happen at once on an idle machine. */
export const PATIENCE_MS = 45_000;

/** Returns the promise's value, or throws an error that names `what` after `ms`. */
export async function within<T>(promise: Promise<T>, what: string, ms: number = PATIENCE_MS): Promise<T> {
  const stop = new AbortController();
  const expired = delay(ms, undefined, { signal: stop.signal }).then(
    () => {
      throw new Error(`no ${what} within ${ms} ms`);
    },
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([promise, expired]);
  } finally {
    stop.abort();
  }
}

/** Repeats `probe` until it returns something other than undefined or false. */
export async function eventually<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  what: string,
  ms: number = PATIENCE_MS,
): Promise<T> {
  const until = performance.now() + ms;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > until) throw new Error(`no ${what} within ${ms} ms`);
    await delay(10);
  }
}
