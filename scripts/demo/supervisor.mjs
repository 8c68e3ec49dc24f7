// Keeps the demo's programs running, as a service manager would: a program that ends is started again.

import { describeEnd, Program } from "./program.mjs";
import { dim, note } from "./terminal.mjs";

/** A program that fails this soon after its start is not started again. */
const STABLE_MS = 2_000;

export class Supervisor {
  /** Whether ends and restarts are reported; false while the demo itself causes them. */
  verbose = true;
  #programs = new Map();
  #verbose;
  #onFailure;
  #ending = false;

  /** `onFailure` gets the error of a program that can't be kept running. */
  constructor({ verbose, onFailure }) {
    this.#verbose = verbose;
    this.#onFailure = onFailure;
  }

  /**
   * Runs a program and restarts it whenever it ends. `start` returns the arguments of each run, and `watch` is called with
   * each run before its first output. Resolves to the first run once it has logged `ready`.
   */
  async run(name, { start, ready, watch }) {
    const startMs = Date.now();
    const program = new Program(name, start(), {
      onLine: (line) => {
        if (this.#verbose) console.error(dim(`${name.padEnd(6)} | ${line}`));
      },
      onEnd: (how) => void this.#again(name, { start, ready, watch }, program, how, startMs),
    });
    this.#programs.set(name, program);
    watch(program);
    await program.record(ready);
    return program;
  }

  pid(name) {
    return this.#programs.get(name).pid;
  }

  /** Sends a signal to a program; resolves to how it ended. */
  end(name, signal) {
    const program = this.#programs.get(name);
    program.signal(signal);
    return program.ended;
  }

  /** Stops everything. */
  async stop() {
    this.#ending = true;
    await Promise.all([...this.#programs.values()].map((program) => program.stop()));
  }

  /** Ends everything at once. */
  kill() {
    this.#ending = true;
    for (const program of this.#programs.values()) program.kill();
  }

  async #again(name, options, program, how, startMs) {
    if (this.#ending) return;
    const goneMs = Date.now();
    // A killed program had no fault of its own, and one with code 0 was stopped; only others have failed.
    if (typeof how === "number" && how !== 0 && goneMs - startMs < STABLE_MS) {
      this.#onFailure(program.failure(`ended: ${describeEnd(how)}`));
      return;
    }
    const verbose = this.verbose;
    if (verbose) note(`${name} (pid ${program.pid}) is gone: ${describeEnd(how)}. It is started again.`);
    try {
      const next = await this.run(name, options);
      if (verbose) note(`${name} is back after ${Date.now() - goneMs} ms, as pid ${next.pid}.`);
    } catch (error) {
      // If the program has ended again before it was ready, it is restarted as well.
      if (!this.#ending && !this.#programs.get(name).hasEnded) this.#onFailure(error);
    }
  }
}
