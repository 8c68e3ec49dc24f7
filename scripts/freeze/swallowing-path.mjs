// A separate host for an agent or a node: a network namespace with one virtual cable to this host. The path can be made to drop
// everything: nothing arrives in either direction, and neither end gets an error.

import { spawnSync } from "node:child_process";

/** @param {string} command */
function run(command) {
  const [file = "", ...args] = command.split(" ");
  const { error, status, stderr } = spawnSync(file, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr.trim()}`);
}

export class SwallowingPath {
  /** The address of this end of the cable. */
  host;
  /** The address of the separate host. */
  guest;
  #name = `piko-freeze-${process.pid}`;
  #cable = `pf${process.pid % 1_000_000}`;

  constructor() {
    const subnet = `10.232.${process.pid % 256}`;
    this.host = `${subnet}.1`;
    this.guest = `${subnet}.2`;
    run(`ip netns add ${this.#name}`);
    process.once("exit", () => this.remove());
    try {
      run(`ip link add ${this.#cable} type veth peer name eth0 netns ${this.#name}`);
      run(`ip address add ${this.host}/30 dev ${this.#cable}`);
      run(`ip link set ${this.#cable} up`);
      run(`ip -n ${this.#name} address add ${this.guest}/30 dev eth0`);
      run(`ip -n ${this.#name} link set eth0 up`);
      run(`ip -n ${this.#name} link set lo up`);
      run(`ip netns exec ${this.#name} iptables -w -L`);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** One that works; or why there can't be one. @returns {SwallowingPath | string} */
  static create() {
    try {
      return new SwallowingPath();
    } catch (error) {
      return `no network namespaces: ${error instanceof Error ? error.message : error}`;
    }
  }

  /** Arguments to put before a command so that it runs on the separate host. */
  get prefix() {
    return ["ip", "netns", "exec", this.#name];
  }

  /** @param {number} port where a node waits for agents, on either host; what is said to other ports gets through */
  swallow(port) {
    const way = (/** @type {string} */ chain, /** @type {string} */ end) =>
      `${chain} -p tcp --${end} ${port}`;
    for (const rule of ["INPUT", "OUTPUT"].flatMap((chain) => [way(chain, "sport"), way(chain, "dport")]))
      run(`ip netns exec ${this.#name} iptables -w -A ${rule} -j DROP`);
  }

  /** Lets everything pass again. */
  heal() {
    run(`ip netns exec ${this.#name} iptables -w -F`);
  }

  /** Idempotent. */
  remove() {
    // Otherwise the cable would stay until the last connection of the namespace has timed out.
    spawnSync("ip", ["link", "delete", this.#cable]);
    spawnSync("ip", ["netns", "delete", this.#name]);
  }
}
