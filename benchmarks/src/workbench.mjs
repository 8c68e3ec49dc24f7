// Everything that a run would leave behind without cleanup: its processes and its temporary directory. All programs are
// started here, pinned to a core, and are all stopped here, on Ctrl-C too.
// @ts-check

import { spawn } from "node:child_process";
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findProgram } from "./programs.mjs";

/** Core of the load generator and the backend. */
export const LOAD_CORE = 0;
/** Core of the subject, shared by all its processes. */
export const SUBJECT_CORE = 1;

const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 20;
const LOG_TAIL_LINES = 12;

/**
 * @typedef {object} StartOptions
 * @property {string} name for messages and the log file's name
 * @property {string} command
 * @property {readonly string[]} args
 * @property {number} core
 * @property {Record<string, string>} [env]
 * @property {NodeJS.Signals} [stopSignal] SIGTERM by default
 *
 * @typedef {object} Program
 * @property {string} name
 * @property {number} pid
 * @property {string} stdoutFile
 * @property {string} stderrFile
 * @property {() => boolean} hasEnded
 * @property {() => Promise<void>} stop idempotent; sends SIGKILL if the program doesn't end in time
 * @property {() => Promise<void>} kill ends it with SIGKILL
 */

/** Starts and stops the programs of one run. */
export class Workbench {
  /** Temporary directory, removed by {@link close}. */
  directory;
  /** Whether programs are pinned to cores; if not, the CPU figures affect each other. */
  pinned;
  /** The services behind all subjects. @type {number[]} */
  servicePids = [];
  /** @type {Set<import("node:child_process").ChildProcess>} */
  #children = new Set();
  #count = 0;
  #closed = false;

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "piko-bench-"));
    this.pinned = availableParallelism() >= 2 && findProgram("taskset") !== undefined;
    process.once("exit", () => this.#endAtOnce());
  }

  /** The body of bulk cases. */
  get bulkFile() {
    return join(this.directory, "bulk");
  }

  get isClosed() {
    return this.#closed;
  }

  /**
   * Starts a program that runs until it is stopped. Its output goes to files.
   * @param {StartOptions} options
   * @returns {Program}
   */
  start(options) {
    this.#count += 1;
    const prefix = join(this.directory, `${this.#count}-${options.name}`);
    const stdoutFile = `${prefix}.stdout`;
    const stderrFile = `${prefix}.stderr`;
    const stdout = openSync(stdoutFile, "a");
    const stderr = openSync(stderrFile, "a");
    const child = this.#spawn(options, ["ignore", stdout, stderr]);
    closeSync(stdout);
    closeSync(stderr);
    if (child.pid === undefined) throw new Error(`start ${options.name}: ${options.command} did not start`);
    const ended = () => child.exitCode !== null || child.signalCode !== null;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    return {
      name: options.name,
      pid: child.pid,
      stdoutFile,
      stderrFile,
      hasEnded: ended,
      stop: async () => {
        if (ended()) return;
        child.kill(options.stopSignal ?? "SIGTERM");
        const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
        await gone;
        clearTimeout(timer);
      },
      kill: async () => {
        if (ended()) return;
        child.kill("SIGKILL");
        await gone;
      },
    };
  }

  /**
   * Runs a program to its end and returns its standard output; throws if its exit code isn't 0.
   * @param {StartOptions & { timeoutMs: number, interruptAfterMs?: number }} options `interruptAfterMs` sends SIGINT
   * @returns {Promise<string>}
   */
  async run(options) {
    const child = this.#spawn(options, ["ignore", "pipe", "pipe"]);
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (/** @type {string} */ text) => (stdout += text));
    child.stderr?.setEncoding("utf8").on("data", (/** @type {string} */ text) => (stderr += text));
    let timedOut = false;
    const kill = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, options.timeoutMs);
    const interrupt =
      options.interruptAfterMs === undefined
        ? undefined
        : setTimeout(() => child.kill("SIGINT"), options.interruptAfterMs);
    const status = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(code ?? signal));
    });
    clearTimeout(kill);
    clearTimeout(interrupt);
    if (timedOut) throw new Error(`${options.name}: not done after ${options.timeoutMs} ms`);
    if (status !== 0) throw new Error(`${options.name}: ended with ${status}: ${(stderr || stdout).trim()}`);
    return stdout;
  }

  /**
   * Waits until `probe` returns something other than undefined. Fails as soon as one of `programs` has ended.
   * @template T
   * @param {string} what
   * @param {readonly Program[]} programs
   * @param {() => T | undefined | Promise<T | undefined>} probe
   * @param {number} [timeoutMs]
   * @returns {Promise<T>}
   */
  async waitFor(what, programs, probe, timeoutMs = 15_000) {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = await probe();
      if (found !== undefined) return found;
      const ended = programs.find((program) => program.hasEnded());
      if (ended !== undefined) throw new Error(`${what}: ${ended.name} has ended\n${tail(ended)}`);
      if (performance.now() > deadline) {
        throw new Error(`${what}: nothing after ${timeoutMs} ms\n${programs.map(tail).join("\n")}`);
      }
      await delay(POLL_MS);
    }
  }

  /** Stops all programs, then removes the directory. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    const children = [...this.#children];
    const gone = children.map((child) => new Promise((resolve) => child.once("exit", resolve)));
    for (const child of children) child.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const child of children) child.kill("SIGKILL");
    }, 2_000);
    await Promise.all(gone);
    clearTimeout(timer);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /**
   * @param {StartOptions} options
   * @param {import("node:child_process").StdioOptions} stdio
   */
  #spawn(options, stdio) {
    if (this.#closed) throw new Error(`start ${options.name}: the run is over`);
    // taskset executes the program in its own process, so the process id is the program's.
    const [command, args] = this.pinned
      ? ["taskset", ["-c", String(options.core), options.command, ...options.args]]
      : [options.command, options.args];
    const child = spawn(command, args, { stdio, env: { ...process.env, ...options.env } });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    child.once("error", () => this.#children.delete(child));
    return child;
  }

  #endAtOnce() {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/**
 * The last lines of a program's output, for an error message.
 * @param {Program} program
 */
function tail(program) {
  const text = readFileSync(program.stderrFile, "utf8") + readFileSync(program.stdoutFile, "utf8");
  const lines = text.trimEnd().split("\n").slice(-LOG_TAIL_LINES);
  return lines.map((line) => `  ${program.name}| ${line}`).join("\n");
}

/**
 * Free ports on 127.0.0.1, for programs that can't bind port 0. All are held open while the others are picked, so they differ.
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        /** @type {Promise<number>} */ (
          new Promise((resolve, reject) => {
            server.once("error", reject);
            server.listen(0, "127.0.0.1", () => {
              const address = server.address();
              resolve(typeof address === "object" && address !== null ? address.port : 0);
            });
          })
        ),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
