// A program that the demo runs. Its log is read as JSON; the last lines are kept for error messages.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const piko = fileURLToPath(new URL("../../packages/piko/bin/piko.js", import.meta.url));
const KEPT_LINES = 15;
/** Maximum time to wait for a log record. */
const PATIENCE_MS = 20_000;
/** Maximum time for a program to stop. */
const STOP_MS = 4_000;

/** A `piko` command as a child process. */
export class Program {
  /** Its last log lines. */
  lines = [];
  /** Resolves to how the program ended: an exit code, or the name of a signal. */
  ended;
  hasEnded = false;
  #child;
  #name;
  #listeners = new Set();
  #stopping = false;

  /** `onLine` gets each log line as text. `onEnd` gets how the program ended, unless the demo stopped it. */
  constructor(name, args, { onLine, onEnd }) {
    this.#name = name;
    // In a process group of its own; otherwise Ctrl-C would reach it twice, from the terminal and from the demo.
    this.#child = spawn(process.execPath, [piko, ...args, "--log.format", "json"], {
      detached: process.platform !== "win32",
      stdio: ["ignore", "ignore", "pipe"],
    });
    createInterface({ input: this.#child.stderr }).on("line", (line) => {
      this.lines.push(line);
      if (this.lines.length > KEPT_LINES) this.lines.shift();
      onLine(line);
      const record = parse(line);
      if (record !== undefined) for (const listener of [...this.#listeners]) listener(record);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("close", (code, signal) => resolve(signal ?? code));
    });
    void this.ended.then((how) => {
      this.hasEnded = true;
      if (!this.#stopping) onEnd(how);
    });
  }

  get pid() {
    return this.#child.pid;
  }

  /** Calls `listener` with every log record from now on. */
  onRecord(listener) {
    this.#listeners.add(listener);
  }

  /** Resolves to the next record with this message. */
  async record(message) {
    let timer;
    const seen = new Promise((resolve, reject) => {
      this.#listeners.add((record) => {
        if (record.msg === message) resolve(record);
      });
      const late = () => reject(this.failure(`did not say "${message}" in ${PATIENCE_MS / 1_000} s`));
      timer = setTimeout(late, PATIENCE_MS);
    });
    const gone = this.ended.then((how) => Promise.reject(this.failure(`ended early: ${describeEnd(how)}`)));
    try {
      return await Promise.race([seen, gone]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** An error about this program that shows its last log lines. */
  failure(what) {
    const log = this.lines.length === 0 ? "  (no output)" : this.lines.map((line) => `  ${line}`).join("\n");
    return new Error(`${this.#name} ${what}; its last lines:\n${log}`);
  }

  /** Sends a signal, as if from outside: its end is reported. */
  signal(signal) {
    this.#child.kill(signal);
  }

  /** Stops the program gracefully; kills it after a few seconds. */
  async stop() {
    this.#stopping = true;
    // Like Ctrl-C, this skips the wait for load balancers.
    this.#child.kill("SIGINT");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /** Kills the program. */
  kill() {
    this.#stopping = true;
    this.#child.kill("SIGKILL");
  }
}

/** How a program ended, as readable text. */
export function describeEnd(how) {
  return typeof how === "number" ? `exit code ${how}` : how;
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
