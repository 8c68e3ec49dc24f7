// Counts, for each limit, what a program has refused because of it, and logs a warning if the program itself is full.

import type { Clock } from "@piko/tunnel";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";

/** How often the log repeats that a limit is reached. */
const WARNING_INTERVAL_MS = 60_000;

export interface LimitCountersOptions<Name extends string> {
  readonly metrics: Metrics;
  /** Name of the counter in the metrics; its label is `limit`. */
  readonly metric: string;
  readonly help: string;
  /** Limits of the whole program: reaching one is worth a warning. */
  readonly capacities: readonly Name[];
  /** Limits for single clients. */
  readonly others: readonly Name[];
  /** The section with the settings, such as `proxy.limits`. */
  readonly section: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

interface Counter {
  count: number;
  /** When the next warning may be logged; Infinity for limits of single clients. */
  silentUntilMs: number;
}

export class LimitCounters<Name extends string> {
  readonly #counters = new Map<Name, Counter>();
  readonly #section: string;
  readonly #logger: Logger;
  readonly #clock: Clock;

  constructor(options: LimitCountersOptions<Name>) {
    this.#section = options.section;
    this.#logger = options.logger;
    this.#clock = options.clock;
    const silent = Number.POSITIVE_INFINITY;
    for (const name of options.capacities) {
      this.#counters.set(name, { count: 0, silentUntilMs: Number.NEGATIVE_INFINITY });
    }
    for (const name of options.others) this.#counters.set(name, { count: 0, silentUntilMs: silent });
    options.metrics.labeled("counter", options.metric, options.help, "limit", () =>
      [...this.#counters].map(([name, { count }]) => [name, count] as const),
    );
  }

  /** Counts that something was refused or ended because of this limit. */
  hit(name: Name): void {
    const counter = this.#counters.get(name);
    if (counter === undefined) return;
    counter.count++;
    const now = this.#clock.now();
    if (now < counter.silentUntilMs) return;
    counter.silentUntilMs = now + WARNING_INTERVAL_MS;
    this.#logger.warn("limit reached", { limit: `${this.#section}.${name}`, refused: counter.count });
  }
}
