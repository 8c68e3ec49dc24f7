// The node of a measurement: its ports, and its metrics.

import { Program } from "./program.mjs";

const PORTS = ["proxy", "upstream", "admin", "cluster.gossip"].map(
  (each) => `--${each}.bind-addr=127.0.0.1:0`,
);
/** Two successive readings that differ by less show that the program has come to rest. */
const STEADY_BYTES = 512 * 1024;
const POLL_MS = 500;
const MAX_POLLS = 120;

/** @typedef {{ resident: number, heap: number, external: number, counted: number, open: number }} Reading */

const OPEN = [
  "piko_proxy_connections",
  "piko_upstreams_connected_upstreams",
  "piko_upstreams_pending_connections",
];

export class Node {
  program;
  /** @type {string} */ proxy;
  /** @type {string} */ upstream;
  /** @type {string} */ admin;
  /** @type {string} */ gossip;

  /** @param {Program} program */
  constructor(program) {
    this.program = program;
    const { admin = "", gossip = "", proxy = "", upstream = "" } = program.record;
    this.proxy = proxy;
    this.upstream = upstream;
    this.admin = admin;
    this.gossip = gossip;
  }

  /** @param {readonly string[]} flags */
  static async start(flags) {
    return new Node(
      await Program.start(["server", ...PORTS, "--drain-delay=0s", ...flags], "server started"),
    );
  }

  /**
   * What a program holds once it has come to rest and the node has at least `open` connections. After a number of readings
   * it returns the last one anyway.
   * @param {Program} program
   * @param {number} open
   * @param {string} budget the node's metric of the bytes that it counts
   * @returns {Promise<Reading>}
   */
  async reading(program, open, budget) {
    /** @type {Reading | undefined} */
    let last;
    for (let poll = 0; ; poll++) {
      const { rss: resident, heapUsed: heap, external } = await program.memory();
      const now = { resident, heap, external, counted: await this.#metric(budget), open: await this.#open() };
      const steady =
        last !== undefined && last.open === now.open && Math.abs(now.resident - last.resident) < STEADY_BYTES;
      if ((steady && now.open >= open) || poll === MAX_POLLS) return now;
      last = now;
      await new Promise((resolve) => void setTimeout(resolve, POLL_MS));
    }
  }

  /** Connections on its ports, including the one that reads the metrics. */
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
}
