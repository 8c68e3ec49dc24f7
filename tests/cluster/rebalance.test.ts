// Nodes that join a cluster get their share of the existing tunnels, and no request fails because of it. The long run waits
// until the shares are even, the short one until tunnels have moved.

import { writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { activeNodes, adminJson, type ListedNode } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { LONG } from "../harness/long-run.js";
import { LoadBalancer } from "../harness/load-balancer.js";
import { metric } from "../harness/metrics.js";
import { startAgentOfFile, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const scene = perTest();
const TUNNELS = 30;
const FLAGS = {
  "upstream.rebalance.threshold": "0.2",
  "upstream.rebalance.shed-rate": "0.1",
  "upstream.rebalance.min-conns": "5",
  "proxy.access-log.disable": "true",
};

it("tunnels move from a full node to two that join, without a failed request", async () => {
  const service = await Service.start(scene);
  const balancer = await LoadBalancer.start(scene);
  const first = await startServer(scene, { "cluster.node-id": "n0", ...FLAGS });
  await balancer.add(first);
  const listeners = Array.from(
    { length: TUNNELS },
    (_, i) => `  - {endpoint_id: e${i}, addr: "${service.addr}", access_log: {disable: true}}`,
  );
  const directory = await scene.directory();
  await writeFile(`${directory}/agent.yaml`, `connect: {tunnels: 1}\nlisteners:\n${listeners.join("\n")}\n`);
  // One tunnel for each listener: otherwise the number of nodes that a listener has found so far would change the counts.
  const agent = startAgentOfFile(scene, balancer.upstream, `${directory}/agent.yaml`);
  const connected = (): number => agent.lines.filter(({ fields }) => fields["msg"] === "connected").length;
  await eventually(() => connected() === TUNNELS, `${TUNNELS} tunnels`);
  const others = [];
  for (const id of ["n1", "n2"]) {
    const node = await startServer(scene, { "cluster.node-id": id, "cluster.join": first.gossip, ...FLAGS });
    await balancer.add(node);
    others.push(node);
  }
  for (const node of [first, ...others]) {
    await eventually(async () => (await activeNodes(node)) === "n0 n1 n2", `three nodes at ${node.admin}`);
  }
  const traffic = [0, 9, 18, 27].map((i) =>
    Traffic.start(scene, balancer.proxy, `e${i}`, { get: 15, post: 5, events: 0.5 }),
  );
  const shares = async (): Promise<number[]> => {
    const nodes = await adminJson<ListedNode[]>(first, "/status/cluster/nodes");
    return nodes.map(({ upstreams }) => upstreams);
  };
  const max = LONG ? 12 : 20;
  // Ten each would be even. The load balancer chooses the node for each new tunnel, so a node may get too many and shed some,
  // too, half a minute later.
  await eventually(
    async () => {
      const counts = await shares();
      return (
        counts.every((count) => count <= max) && counts.reduce((sum, count) => sum + count, 0) === TUNNELS
      );
    },
    `shares of at most ${max}`,
    150_000,
  );
  for (const each of traffic) expect((await each.stop()).failures).toEqual([]);
  expect(await metric(first.admin, "piko_upstreams_shed_total")).toBeGreaterThanOrEqual(TUNNELS - max);
  expect(connected()).toBeGreaterThanOrEqual(TUNNELS + TUNNELS - max);
}, 240_000);
