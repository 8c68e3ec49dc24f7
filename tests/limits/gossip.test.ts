// A peer that reaches the gossip port can announce anything and send any number of requests: what that costs the node.

import { connect } from "node:net";
import { once } from "node:events";
import { expect, it } from "vitest";
import { Gossip } from "../../packages/piko/src/gossip/gossip.js";
import { UdpTcpTransport } from "../../packages/piko/src/gossip/transport/udp-tcp-transport.js";
import { systemClock } from "@piko/tunnel";
import { eventually } from "../harness/deadline.js";
import { metric, untilMetric } from "../harness/metrics.js";
import type { Stage } from "../harness/stage.js";
import { ask, GET, limitRig } from "./limit-rig.js";

const rig = limitRig();
const limited = (limit: string): string => `piko_gossip_limited_total{limit="${limit}"}`;

/** A peer that has joined a node. */
async function startPeer(stage: Stage, gossip: string): Promise<Gossip> {
  const transport = await UdpTcpTransport.listen({ host: "127.0.0.1", port: 0 });
  const addr = `127.0.0.1:${transport.address.port}`;
  const peer = new Gossip({ nodeId: "peer", addr, transport, clock: systemClock, random: Math.random });
  stage.defer(() => peer.close());
  peer.start();
  await peer.join([gossip]);
  return peer;
}

it("a peer that announces more than its share is known up to that share, and the node keeps serving", async () => {
  const server = await rig.start({ "cluster.gossip.max-state-bytes": "2MiB" });
  const client = await rig.connect(server);
  const peer = await startPeer(rig.scene, server.gossip);
  for (let i = 0; i < 10_000; i++) peer.upsertLocal(`endpoint:customer-${i}`, "1");
  const { admin } = server;
  await eventually(
    async () => ((await metric(admin, limited("max_state_bytes_per_node"))) ?? 0) > 0,
    "limit",
  );
  expect((await ask(client, GET)).status).toBe(200);
  // A quarter of the maximum, the share of one node.
  expect(await metric(admin, "piko_gossip_state_bytes")).toBeLessThanOrEqual(512 * 1_024);
  await server.program.waitFor("limit reached");
  expect((await ask(client, GET)).status).toBe(200);
});

it("connections of one address beyond its share are closed; when some have ended, others are accepted", async () => {
  const server = await rig.start({});
  const [host = "", port = ""] = server.gossip.split(":");
  const open = async () => {
    const socket = connect(Number(port), host);
    rig.scene.defer(() => void socket.destroy());
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const first = await Promise.all(Array.from({ length: 64 }, open));
  await once((await open()).resume(), "close");
  await untilMetric(server.admin, limited("max_connections"), 1);
  for (const socket of first) socket.destroy();
  const peer = await eventually(async () => {
    const joined = await startPeer(rig.scene, server.gossip).catch(() => undefined);
    return joined?.nodes().length === 2 ? joined : undefined;
  }, "a peer that joins");
  expect(peer.nodes()).toHaveLength(2);
});
