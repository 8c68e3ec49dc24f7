// Time as a dependency: everything that waits takes a Clock, so that tests can advance time by hand.

/** A pending call; `refresh` restarts its delay. Node's own Timeout is one. */
export interface Timer {
  refresh(): unknown;
}

/** A monotonic clock in milliseconds, with delayed calls. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary start, with fractions. */
  now(): number;
  /** Calls back once after `ms` milliseconds. A pending timer keeps the process alive. */
  setTimeout(callback: () => void, ms: number): Timer;
  /** Cancels a pending call; a timer that has fired is ignored. */
  clearTimeout(timer: Timer): void;
}
