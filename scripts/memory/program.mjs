// One of our programs in a process of its own, which reports its memory on request.

import { fork } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PIKO = fileURLToPath(new URL("../../packages/piko/bin/piko.js", import.meta.url));
const PROBE = new URL("probe.mjs", import.meta.url).href;

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class Program {
  #child;
  /** The log record that shows that it is ready. @type {Record<string, string>} */
  record;

  /**
   * @param {import("node:child_process").ChildProcess} child
   * @param {Record<string, string>} record
   */
  constructor(child, record) {
    this.#child = child;
    this.record = record;
  }

  /**
   * @param {readonly string[]} args
   * @param {string} message message of the log record that shows that it is ready
   */
  static async start(args, message) {
    const child = fork(PIKO, [...args, "--log.format=json"], {
      execArgv: ["--expose-gc", "--import", PROBE],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    running.add(child);
    const lines = createInterface({ input: /** @type {import("node:stream").Readable} */ (child.stderr) });
    const record = await new Promise((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`piko ${args[0]} ended with ${code}`)));
      lines.on("line", (line) => {
        // A command's messages for people come before its log.
        if (line.startsWith("{") && JSON.parse(line).msg === message) resolve(JSON.parse(line));
      });
    });
    return new Program(child, record);
  }

  /** @returns {Promise<NodeJS.MemoryUsage>} */
  memory() {
    return new Promise((resolve) => {
      this.#child.once("message", (memory) => resolve(/** @type {NodeJS.MemoryUsage} */ (memory)));
      this.#child.kill("SIGUSR2");
    });
  }

  async end() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
    running.delete(this.#child);
  }
}
