// Watches the resident memory of processes while a test streams data through them.

import type { Program } from "./program.js";

const INTERVAL_MS = 50;

/** Samples until it is stopped. */
export class MemoryWatch {
  readonly #programs: readonly Program[];
  readonly #peaks = new Map<Program, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(programs: readonly Program[]) {
    this.#programs = programs;
    this.#timer = setInterval(() => void this.#sample(), INTERVAL_MS);
  }

  /** Stops watching; returns the peak of each process in MB, in the order in which they were given. */
  async stop(): Promise<number[]> {
    clearInterval(this.#timer);
    await this.#sample();
    return this.#programs.map((program) => Math.round((this.#peaks.get(program) ?? 0) / 1e6));
  }

  async #sample(): Promise<void> {
    for (const program of this.#programs) {
      try {
        const bytes = await program.rssBytes();
        if (bytes > (this.#peaks.get(program) ?? 0)) this.#peaks.set(program, bytes);
      } catch {
        // The process has exited; its peak remains.
      }
    }
  }
}
