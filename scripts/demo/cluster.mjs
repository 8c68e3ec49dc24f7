// The demo's cluster: three nodes, each a process of its own, and a load balancer that forwards connections to nodes that are ready.

import { HOST } from "./requests.mjs";

const PREFERRED_PORTS = { proxy: 8000, upstream: 8001, admin: 8002 };
const NAMES = ["node-1", "node-2", "node-3"];
/** How often the balancer checks whether each node is ready. */
const PROBE_MS = 100;
/** How long a stopping node keeps accepting connections while the balancer notices. */
const DRAIN_DELAY = "500ms";

export class DemoCluster {
  /** Ports of the balancer, by name. */
  ports = {};
  #supervisor;
  #secret;
  /** By name: the node's id and addresses, from its log, and whether it is ready. */
  #nodes = new Map();
  #balancers = [];
  #probes;
  #changed = new Set();

  /** `secret` is the path of the file with the secret for agents' tokens. */
  constructor(supervisor, secret) {
    this.#supervisor = supervisor;
    this.#secret = secret;
  }

  get names() {
    return NAMES;
  }

  /** A node's port of this kind, such as `proxy`. */
  port(name, kind) {
    return Number(this.#nodes.get(name)[kind].split(":").at(-1));
  }

  /** The name of the node with this id. */
  nameOf(id) {
    return NAMES.find((name) => this.#nodes.get(name)?.id === id) ?? id;
  }

  /** Starts the nodes, and waits until each knows the others. */
  async start() {
    this.#probes = setInterval(() => void this.#probe(), PROBE_MS);
    const [first, ...others] = NAMES;
    await this.#startNode(first);
    await Promise.all(others.map((name) => this.#startNode(name)));
    await this.untilComplete();
  }

  /** Binds the balancer, on the usual ports if they are free. */
  async startBalancer() {
    // The build has finished by now.
    const { TcpBalancer } = await import("../../packages/piko/dist/local-cluster/tcp-balancer.js");
    for (const [kind, preferred] of Object.entries(PREFERRED_PORTS)) {
      const balancer = new TcpBalancer({
        name: `${kind} balancer`,
        targets: () => this.#ready().map((node) => parseAddress(node[kind])),
        random: Math.random,
      });
      this.#balancers.push(balancer);
      const { port } = await balancer
        .listen({ host: HOST, port: preferred })
        .catch(() => balancer.listen({ host: HOST, port: 0 }));
      this.ports[kind] = port;
    }
  }

  isPreferred(kind) {
    return this.ports[kind] === PREFERRED_PORTS[kind];
  }

  /** Resolves when all nodes are ready. */
  async untilReady() {
    while (this.#ready().length < NAMES.length) {
      await new Promise((resolve) => this.#changed.add(resolve));
    }
  }

  /** Resolves when all nodes are ready and each sees all of them as active. */
  async untilComplete() {
    await this.untilReady();
    for (const node of this.#nodes.values()) {
      while ((await activeNodes(node.admin)) < NAMES.length) {
        await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
      }
    }
  }

  close() {
    clearInterval(this.#probes);
    for (const balancer of this.#balancers) balancer.close();
  }

  #startNode(name) {
    return this.#supervisor.run(name, {
      ready: "server started",
      start: () => this.#args(name),
      watch: (program) => {
        // Forgets the old addresses; the new ones are logged at the start.
        this.#nodes.delete(name);
        program.onRecord((record) => {
          if (record.msg !== "server started") return;
          const { admin, gossip, proxy, upstream, "node-id": id } = record;
          this.#nodes.set(name, { id, admin, gossip, proxy, upstream, ready: false });
        });
      },
    });
  }

  #args(name) {
    const ports = ["proxy", "upstream", "admin", "cluster.gossip"];
    const others = [...this.#nodes].filter(([other]) => other !== name).map(([, { gossip }]) => gossip);
    return [
      "server",
      // A new id for each run: a node that is started again is a new node.
      ...["--cluster.node-id-prefix", `${name}-`],
      ...ports.flatMap((port) => [`--${port}.bind-addr`, `${HOST}:0`]),
      ...(others.length === 0 ? [] : ["--cluster.join", others.join(",")]),
      ...["--upstream.auth.hmac-secret-key-file", this.#secret],
      ...["--drain-delay", DRAIN_DELAY, "--grace-period", "5s"],
    ];
  }

  #ready() {
    return [...this.#nodes.values()].filter(({ ready }) => ready);
  }

  async #probe() {
    await Promise.all(
      [...this.#nodes.values()].map(async (node) => {
        const signal = AbortSignal.timeout(1_000);
        node.ready = await fetch(`http://${node.admin}/ready`, { signal }).then(
          ({ ok }) => ok,
          () => false,
        );
      }),
    );
    for (const resolve of this.#changed) resolve();
    this.#changed.clear();
  }
}

function parseAddress(text) {
  const [host, port] = text.split(":");
  return { host, port: Number(port) };
}

/** Number of nodes that a node sees as active. */
async function activeNodes(admin) {
  try {
    const nodes = await (await fetch(`http://${admin}/status/cluster/nodes`)).json();
    return nodes.filter(({ status }) => status === "active").length;
  } catch {
    // The node is being replaced.
    return 0;
  }
}
