// A signal may be used for any number of calls: connections that a program opens, and ends together.

import { setMaxListeners } from "node:events";

/**
 * Each call adds a listener to the signal, and removes it when it is done. From the eleventh on, Node.js would print a warning about
 * a leak that isn't one.
 */
export function allowManyListeners(signal: AbortSignal | undefined): void {
  if (signal !== undefined) setMaxListeners(0, signal);
}
