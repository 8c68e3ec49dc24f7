// A member of the cluster that isn't a real node: gossip alone, in this process, which announces whatever a load needs.

import { systemClock } from "../../packages/tunnel/dist/index.js";
import { Gossip } from "../../packages/piko/dist/gossip/gossip.js";
import { UdpTcpTransport } from "../../packages/piko/dist/gossip/transport/udp-tcp-transport.js";

/** @typedef {import("./node.mjs").Node} Node */

/** @type {WeakMap<Node, Promise<Gossip>>} */
const peers = new WeakMap();

/** The peer that a node has as its member. @param {Node} node */
export function announcer(node) {
  let peer = peers.get(node);
  if (peer === undefined) {
    peer = join(node);
    peers.set(node, peer);
  }
  return peer;
}

/** @param {Node} node */
async function join(node) {
  const transport = await UdpTcpTransport.listen({ host: "127.0.0.1", port: 0 });
  const { port } = transport.address;
  const addr = `127.0.0.1:${port}`;
  const random = Math.random;
  const gossip = new Gossip({ nodeId: "announcer", addr, transport, clock: systemClock, random });
  gossip.start();
  await gossip.join([node.gossip]);
  return gossip;
}
