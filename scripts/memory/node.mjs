// One node in a process of its own, which can be asked what memory it holds and what it counts.

import { fork } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PIKO = fileURLToPath(new URL("../../packages/piko/bin/piko.js", import.meta.url));
const PROBE = new URL("probe.mjs", import.meta.url).href;
const PORTS = ["proxy", "upstream", "admin", "cluster.gossip"].map(
  (each) => `--${each}.bind-addr=127.0.0.1:0`,
);
/** Two looks in a row that differ by less are the end of the work. */
const STEADY_BYTES = 512 * 1024;
const LOOK_MS = 500;
const PATIENCE_LOOKS = 120;

/** @typedef {{ resident: number, heap: number, external: number, counted: number, open: number }} Reading */

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

const OPEN = [
  "piko_proxy_connections",
  "piko_upstreams_connected_upstreams",
  "piko_upstreams_pending_connections",
];

export class Node {
  #child;
  /** @type {string} */ proxy = "";
  /** @type {string} */ upstream = "";
  /** @type {string} */ admin = "";

  /** @param {import("node:child_process").ChildProcess} child */
  constructor(child) {
    this.#child = child;
  }

  /** @param {readonly string[]} flags */
  static async start(flags) {
    const child = fork(PIKO, ["server", ...PORTS, "--drain-delay=0s", "--log.format=json", ...flags], {
      execArgv: ["--expose-gc", "--import", PROBE],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    running.add(child);
    const node = new Node(child);
    const lines = createInterface({ input: /** @type {import("node:stream").Readable} */ (child.stderr) });
    await new Promise((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`the node ended with ${code}`)));
      lines.on("line", (line) => {
        const record = JSON.parse(line);
        if (record.msg === "server started") {
          Object.assign(node, { proxy: record.proxy, upstream: record.upstream, admin: record.admin });
          resolve(undefined);
        }
      });
    });
    return node;
  }

  /**
   * What it holds when it has nothing more to do with its `open` connections, or has let go of some.
   * @param {number} open
   * @returns {Promise<Reading>}
   */
  async reading(open) {
    /** @type {Reading | undefined} */
    let last;
    for (let look = 0; ; look++) {
      const { rss: resident, heapUsed: heap, external } = await this.#read();
      const counted = await this.#metric("piko_proxy_buffered_bytes");
      const now = { resident, heap, external, counted, open: await this.#open() };
      const steady =
        last !== undefined && last.open === now.open && Math.abs(now.resident - last.resident) < STEADY_BYTES;
      if ((steady && now.open >= open) || look === PATIENCE_LOOKS) return now;
      last = now;
      await new Promise((resolve) => void setTimeout(resolve, LOOK_MS));
    }
  }

  /** Connections on its ports; the one that asks for this is among them. */
  async #open() {
    const counts = await Promise.all(OPEN.map((name) => this.#metric(name)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** The sum of a metric's series. @param {string} name */
  async #metric(name) {
    const text = await (await fetch(`http://${this.admin}/metrics`)).text();
    return text
      .split("\n")
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  async end() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
    running.delete(this.#child);
  }

  /** @returns {Promise<NodeJS.MemoryUsage>} */
  #read() {
    return new Promise((resolve) => {
      this.#child.once("message", (memory) => resolve(/** @type {NodeJS.MemoryUsage} */ (memory)));
      this.#child.kill("SIGUSR2");
    });
  }
}
