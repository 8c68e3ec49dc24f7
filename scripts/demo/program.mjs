// One program that the demo runs: its log is read as JSON and kept for the day that something goes wrong.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const piko = fileURLToPath(new URL("../../packages/piko/bin/piko.js", import.meta.url));
const KEPT_LINES = 15;
/** How long a program may take to say what is waited for. */
const PATIENCE_MS = 20_000;
/** How long a program may take to stop. */
const STOP_MS = 4_000;

/** A `piko` command as a child process. */
export class Program {
  /** Its last log lines. */
  lines = [];
  /** Resolves to how it ended: an exit code, or the name of a signal. */
  ended;
  hasEnded = false;
  #child;
  #name;
  #listeners = new Set();
  #stopping = false;

  /** `onLine` is told each log line as text; `onEnd` how it ended, unless the demo has stopped it. */
  constructor(name, args, { onLine, onEnd }) {
    this.#name = name;
    // A process group of its own, or Ctrl-C would reach it twice: from the terminal and from us.
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

  /** Calls `listener` with every log record from here on. */
  onRecord(listener) {
    this.#listeners.add(listener);
  }

  /** Resolves to the first record from here on with this message. */
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

  /** What somebody else could do to it as well. */
  signal(signal) {
    this.#child.kill(signal);
  }

  /** Stops it gracefully, and after a few seconds in any case. */
  async stop() {
    this.#stopping = true;
    // As with Ctrl-C: no waiting for load balancers.
    this.#child.kill("SIGINT");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends it at once. */
  kill() {
    this.#stopping = true;
    this.#child.kill("SIGKILL");
  }
}

/** How a program ended, for people. */
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
