// A load balancer in front of a scenario's nodes. It polls their readiness.

import { TcpBalancer } from "../../packages/piko/dist/local-cluster/tcp-balancer.js";
import { isOk, until } from "./stand.mjs";

const POLL_MS = 100;

/**
 * @param {import("./stand.mjs").Stand} stand
 * @param {(node: import("./stand.mjs").Node) => boolean} [acceptsAgents] whether agents may come to a node that is ready
 */
export function startBalancer(stand, acceptsAgents = () => true) {
  /** @type {Set<import("./stand.mjs").Node>} */
  const ready = new Set();
  const timer = setInterval(() => {
    for (const node of [...stand.nodes, ...stand.leaving])
      void isOk(`http://${node.admin}/ready`).then((ok) => (ok ? ready.add(node) : ready.delete(node)));
  }, POLL_MS);
  const addressOf = (/** @type {string} */ address) => {
    const [host = "", port] = address.split(":");
    return { host, port: Number(port) };
  };
  const create = (/** @type {"proxy" | "upstream"} */ which) =>
    new TcpBalancer({
      name: which,
      targets: () =>
        [...ready]
          .filter((node) => which === "proxy" || acceptsAgents(node))
          .map((node) => addressOf(node[which])),
      random: Math.random,
    });
  const [proxies, upstreams] = [create("proxy"), create("upstream")];
  const listen = async (/** @type {TcpBalancer} */ balancer) => {
    const { host, port } = await balancer.listen({ host: "127.0.0.1", port: 0 });
    await until(() => ready.size === stand.nodes.length, "all nodes are ready");
    return `${host}:${port}`;
  };
  return {
    proxy: listen(proxies),
    upstream: listen(upstreams),
    stop() {
      clearInterval(timer);
      proxies.close();
      upstreams.close();
    },
  };
}
