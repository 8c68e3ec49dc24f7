// The line that shows a benchmark's progress on a terminal; rewritten in place, and removed at the end.

import type { Clock, Timer } from "@piko/tunnel";
import type { BenchResults } from "./bench-results.js";

const INTERVAL_MS = 250;

export class ProgressLine {
  readonly #write: (text: string) => void;
  readonly #results: BenchResults;
  readonly #requests: number;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #shownMs: number;
  #shownDone = 0;

  /** @param requests the number of requests in the whole benchmark */
  constructor(write: (text: string) => void, results: BenchResults, requests: number, clock: Clock) {
    this.#write = write;
    this.#results = results;
    this.#requests = requests;
    this.#clock = clock;
    this.#shownMs = clock.now();
    this.#schedule();
  }

  /** Removes the line. */
  close(): void {
    if (this.#timer === undefined) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#write(ERASE_LINE);
  }

  #schedule(): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#schedule();
      this.#show();
    }, INTERVAL_MS);
  }

  #show(): void {
    const { done, failed } = this.#results;
    const now = this.#clock.now();
    const perSecond = ((done - this.#shownDone) / (now - this.#shownMs)) * 1_000;
    this.#shownMs = now;
    this.#shownDone = done;
    const percent = Math.floor((done / this.#requests) * 100);
    this.#write(
      `${ERASE_LINE}${percent}%  ${done} of ${this.#requests} requests  ${perSecond.toFixed(0)}/s  ${failed} failed`,
    );
  }
}

const ERASE_LINE = "\r\u001b[2K";
