// Time as a dependency: everything that waits takes a Clock, so that tests can advance time by hand.

/** A pending call; `refresh` starts its delay again. Node's own Timeout is one. */
export interface Timer {
  refresh(): unknown;
}

/** Milliseconds that only go forward, and delayed calls. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary start, with fractions. */
  now(): number;
  /** Calls back once after `ms` milliseconds. A pending timer keeps the process alive. */
  setTimeout(callback: () => void, ms: number): Timer;
  /** Takes a pending call back; a timer that has fired is ignored. */
  clearTimeout(timer: Timer): void;
}
