// The start of every scenario: three nodes, two agents with one tunnel each, to the first and the second node, and a service for
// each agent.

import { Program, Services } from "./programs.mjs";

const NODES = 3;
const AGENTS = 2;
const POLL_MS = 50;
const PATIENCE_MS = 120_000;

/** @typedef {{ name: string, program: Program, proxy: string, upstream: string, admin: string, gossip: string }} Node */

/**
 * Options of a scenario.
 * @typedef {object} Options
 * @property {string[]} piko the command under test
 * @property {number} rate GET requests per second; the rates of other kinds are derived from it
 * @property {number} seconds how long the fault lasts
 * @property {number} late how many seconds late a response may be that doesn't involve a silent agent
 */

/**
 * How and where the programs are started.
 * @typedef {object} Places
 * @property {string[]} piko the command under test
 * @property {(index: number) => string[]} [nodePrefix] arguments to put before a node's command
 * @property {(index: number) => string[]} [agentPrefix]
 * @property {(index: number) => string} [nodeHost] the address of a node
 * @property {(index: number) => string} [upstreamHost] the address of its upstream port, if it is another one
 * @property {string} [serviceHost] the address of the services
 * @property {Record<string, string>} [nodeFlags]
 */

export const pause = (/** @type {number} */ ms) => new Promise((resolve) => void setTimeout(resolve, ms));

/**
 * @param {() => Promise<boolean> | boolean} holds
 * @param {string} what
 */
export async function until(holds, what) {
  const giveUp = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > giveUp) throw new Error(`${what}: not within ${PATIENCE_MS / 1_000} s`);
    await pause(POLL_MS);
  }
}

/** @param {string} url */
export async function isOk(url) {
  try {
    const response = await fetch(url, {
      headers: { "x-piko-endpoint": "web" },
      signal: AbortSignal.timeout(5_000),
    });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

export class Stand {
  /** @type {Node[]} */
  nodes = [];
  /** Nodes that are stopping. @type {Node[]} */
  leaving = [];
  /** @type {Program[]} */
  agents = [];
  /** @type {Services} */
  services;
  /** In front of the nodes; undefined if clients use them directly. @type {{ stop(): void } | undefined} */
  balancer = undefined;
  #places;
  #started = 0;

  /**
   * @param {Places} places
   * @param {Services} services
   */
  constructor(places, services) {
    this.#places = places;
    this.services = services;
  }

  /** Starts three nodes that know each other, without agents. @param {Places} places */
  static async startNodes(places) {
    const stand = new Stand(places, await Services.start());
    try {
      for (let i = 0; i < NODES; i++) stand.nodes.push(await stand.startNode(i));
      await stand.untilComplete();
    } catch (error) {
      await stand.stop();
      throw error;
    }
    return stand;
  }

  /** @param {Places} places */
  static async start(places) {
    const stand = await Stand.startNodes(places);
    try {
      for (let i = 0; i < AGENTS; i++) await stand.startAgent(i, stand.nodes[i]?.upstream ?? "");
      await stand.untilServing();
    } catch (error) {
      await stand.stop();
      throw error;
    }
    return stand;
  }

  get proxies() {
    return this.nodes.map(({ proxy }) => proxy);
  }

  /**
   * Starts the node with this index, which joins the existing ones.
   * @param {number} index
   * @returns {Promise<Node>}
   */
  async startNode(index) {
    const { nodeFlags = {}, nodeHost = () => "127.0.0.1", nodePrefix = () => [], piko } = this.#places;
    const { upstreamHost = nodeHost } = this.#places;
    const noPort = `${nodeHost(index)}:0`;
    const join = this.nodes.map(({ gossip }) => gossip).join(",");
    const flags = {
      "cluster.node-id": `node-${index}-${this.#started++}`,
      "proxy.bind-addr": noPort,
      "upstream.bind-addr": `${upstreamHost(index)}:0`,
      "admin.bind-addr": noPort,
      "cluster.gossip.bind-addr": noPort,
      "proxy.access-log.disable": "true",
      "log.format": "json",
      "drain-delay": "2s",
      "drain-window": "2s",
      ...(join === "" ? {} : { "cluster.join": join }),
      ...nodeFlags,
    };
    const args = Object.entries(flags).map(([key, value]) => `--${key}=${value}`);
    const name = `node ${index}`;
    const program = new Program(name, [...nodePrefix(index), ...piko, "server", ...args]);
    const { proxy, upstream, admin, gossip } = await program.record("server started");
    return { name, program, proxy, upstream, admin, gossip };
  }

  /**
   * @param {number} index
   * @param {string} upstream
   */
  async startAgent(index, upstream) {
    const { agentPrefix = () => [], piko, serviceHost = "127.0.0.1" } = this.#places;
    const service = `${serviceHost}:${this.services.ports[index]}`;
    const args = [
      "agent",
      "http",
      "web",
      service,
      "--connect.url",
      `http://${upstream}`,
      "--log.format",
      "json",
    ];
    const command = [...agentPrefix(index), ...piko, ...args, "--access-log.disable"];
    const program = new Program(`agent ${index}`, command);
    this.agents[index] = program;
    await program.record("connected");
  }

  /** Waits until every node knows all others and is ready. */
  async untilComplete() {
    for (const { admin, name } of this.nodes) {
      await until(
        async () => (await this.#activeNodes(admin)) === this.nodes.length,
        `${name} knows the others`,
      );
      await until(() => isOk(`http://${admin}/ready`), `${name} is ready`);
    }
  }

  /** Waits until every node knows the endpoint. */
  async untilServing() {
    for (const { proxy, name } of this.nodes)
      await until(() => isOk(`http://${proxy}/item/0`), `${name} serves`);
  }

  /** The number of requests that a node has sent to its own tunnels so far. @param {number} index */
  async sentTo(index) {
    const response = await fetch(`http://${this.nodes[index]?.admin}/metrics`);
    return Number(/^piko_upstreams_upstream_requests_total (\d+)/m.exec(await response.text())?.[1]);
  }

  async stop() {
    this.balancer?.stop();
    await Promise.all(this.agents.map((agent) => agent.kill()));
    await Promise.all(this.nodes.map(({ program }) => program.kill()));
    await this.services.stop();
  }

  /** @param {string} admin */
  async #activeNodes(admin) {
    const response = await fetch(`http://${admin}/status/cluster/nodes`);
    const nodes = /** @type {{ status: string }[]} */ (await response.json());
    return nodes.filter(({ status }) => status === "active").length;
  }
}
