// Nodes of ours are replaced one after the other while a Go node stays, and agents have two tunnels each. No request is
// lost, and the Go node counts no tunnel twice.

import { describe, expect, it } from "vitest";
import { adminJson } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { GoClusterNode } from "../harness/go-cluster-node.js";
import { haveGo } from "../harness/go-peer.js";
import { LONG } from "../harness/long-run.js";
import { startAgent } from "../harness/piko.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { perTest } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";
import { startTrafficService } from "../harness/traffic-service.js";

const ROUNDS = LONG ? 10 : 1;
/** The short run leaves CPU time to the tests that run at the same time. */
const RATE = LONG ? 1 : 0.3;
const scene = perTest();
/** Request timeouts are tested elsewhere; here they would only measure the machine. */
const AGENT = { flags: ["--access-log.disable", "--timeout", "1m", "--connect.tunnels", "2"] };

/** Tunnels to the Go node: the number that it announces to its cluster, and the number that it really has. */
async function tunnels(go: GoClusterNode): Promise<readonly [number, number]> {
  const counted = (await go.server.listeners())["web"] ?? 0;
  return [counted, (await go.server.tunnels()).length];
}

describe.skipIf(!haveGo)("our nodes, replaced while a Go node stays,", () => {
  it.each(LONG ? [1, 3] : [1])(
    "lose no request with %i agents of two tunnels",
    async (agents) => {
      const service = await startTrafficService(scene);
      const go = await GoClusterNode.start(scene, "go");
      const cluster = await RollingCluster.start(scene, { "cluster.join": go.gossip }, 1);
      cluster.balancer.addUpstream(go.server.upstream);
      for (let i = 0; i < agents; i++)
        await startAgent(scene, cluster.balancer.upstream, "web", service, AGENT);
      await cluster.untilKnown("web");
      const [ours, theirs] = [cluster.balancer.proxy, go.server.proxy].map((proxy) =>
        Traffic.start(scene, proxy, "web", { get: 120 * RATE, post: 60 * RATE, slow: 4 * RATE }),
      );
      for (let i = 0; i < ROUNDS; i++) await cluster.roll();
      const reports = [await ours?.stop(), await theirs?.stop()];
      console.info(
        `${agents} agents, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(reports.map((report) => report?.counts))}, tunnels to the Go node: ${(await tunnels(go)).join(" counted, ")} open`,
      );
      for (const report of reports) {
        expect(report?.failures.slice(0, 20)).toEqual([]);
        expect(report?.counts["get"]).toBeGreaterThan(100);
      }
      // An agent closes a surplus tunnel with a FIN alone, which the Go node counts once.
      const [counted, open] = await tunnels(go);
      expect(counted).toBe(open);
      for (const node of cluster.nodes) {
        await eventually(async () => {
          const path = "/status/cluster/nodes/go";
          const { endpoints } = await adminJson<{ endpoints: Record<string, number> | null }>(node, path);
          return (endpoints?.["web"] ?? 0) === open;
        }, `${open} tunnels of the Go node at ${node.admin}`);
      }
    },
    1_800_000,
  );
});
