// The programs of a scenario: `piko`, of any build, and the services.

import { fork, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SERVICE = fileURLToPath(new URL("service.mjs", import.meta.url));
/** Long, because the programs get little CPU time. */
const PATIENCE_MS = 120_000;
const KEPT_LINES = 4_000;

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** @param {import("node:child_process").ChildProcess} child */
function track(child) {
  running.add(child);
  child.once("exit", () => running.delete(child));
}

/** A running `piko`, and its log. */
export class Program {
  /** @type {Record<string, any>[]} */
  records = [];
  name;
  #child;
  /** @type {Set<() => void>} */
  #wake = new Set();
  #ended;

  /**
   * @param {string} name
   * @param {string[]} command
   */
  constructor(name, command) {
    this.name = name;
    const [file = "", ...args] = command;
    this.#child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"] });
    track(this.#child);
    createInterface({ input: this.#child.stderr }).on("line", (line) => {
      this.records.push(line.startsWith("{") ? JSON.parse(line) : { msg: line });
      if (this.records.length > KEPT_LINES) this.records.shift();
      this.#wakeAll();
    });
    this.#ended = new Promise((resolve) => this.#child.once("close", resolve));
    void this.#ended.then(() => this.#wakeAll());
  }

  get hasEnded() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#child.kill(signal);
  }

  /**
   * Waits for the first log record with this message.
   * @param {string} message
   * @returns {Promise<Record<string, any>>}
   */
  async record(message) {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
    for (;;) {
      const found = this.records.find(({ msg }) => msg === message);
      if (found !== undefined || this.hasEnded) {
        clearTimeout(timer);
        if (found !== undefined) return found;
        const tail = this.records.slice(-15).map((each) => `\n  ${JSON.stringify(each)}`);
        throw new Error(`${this.name} did not log "${message}":${tail.join("")}`);
      }
      await new Promise((resolve) => this.#wake.add(() => resolve(undefined)));
    }
  }

  /** Sends SIGTERM, and waits for the end of the process. */
  async stop() {
    if (this.hasEnded) return;
    this.signal("SIGCONT");
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), PATIENCE_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Ends it by force: for programs that needn't stop cleanly. */
  async kill() {
    this.signal("SIGKILL");
    await this.#ended;
  }

  #wakeAll() {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }
}

/** The services of the two agents: one process with a port for each agent. */
export class Services {
  /** @type {number[]} */
  ports = [];
  #child;

  constructor() {
    this.#child = fork(SERVICE, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    track(this.#child);
  }

  static async start() {
    const services = new Services();
    services.ports = await services.#ask();
    return services;
  }

  /**
   * Which requests arrived through which agent, and when; a request that was retried is listed several times.
   * @param {number} [sinceMs] only those that came later
   * @returns {Promise<{ id: number, agent: number, atMs: number }[]>}
   */
  arrivals(sinceMs = 0) {
    this.#child.send(sinceMs);
    return this.#ask();
  }

  async stop() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }

  /** @returns {Promise<any>} */
  #ask() {
    return new Promise((resolve, reject) => {
      this.#child.once("message", resolve);
      this.#child.once("exit", () => reject(new Error("the services ended")));
    });
  }
}
