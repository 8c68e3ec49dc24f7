// A hundred listeners behind haproxy find two nodes each, whatever balancing algorithm it uses, and find two again after
// every node has been replaced. The long run tries more algorithms, and also checks that the tunnels spread evenly.

import { writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { activeNodes } from "../harness/cluster.js";
import { eventually, PATIENCE_MS } from "../harness/deadline.js";
import { type Balance, Haproxy } from "../harness/haproxy.js";
import { untilHomes } from "../harness/homes.js";
import { LONG } from "../harness/long-run.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgentOfFile, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";

const LISTENERS = 100;
/** The promised time. In the short run, other tests slow the machine down. */
const FIND_MS = LONG ? 10_000 : PATIENCE_MS;
const BALANCE_MS = 120_000;
const FLAGS = { "drain-delay": "1s", "drain-window": "2s" };
const REBALANCE = { "upstream.rebalance.threshold": "0.2", "upstream.rebalance.shed-rate": "0.05" };
const scene = perTest();

async function startNode(nodes: readonly RunningServer[]): Promise<RunningServer> {
  const join = nodes.map(({ gossip }) => gossip).join(",");
  const flags = { ...FLAGS, ...(LONG ? REBALANCE : {}), ...(join === "" ? {} : { "cluster.join": join }) };
  const node = await startServer(scene, flags);
  for (const each of [...nodes, node]) {
    await eventually(
      async () => (await activeNodes(each)).split(" ").length === nodes.length + 1,
      `${nodes.length + 1} nodes at ${each.admin}`,
    );
  }
  return node;
}

describe.runIf(haveTools("haproxy"))("a hundred listeners behind haproxy", () => {
  it.each<Balance>(LONG ? ["leastconn", "random"] : ["random"])(
    "(%s) have tunnels to two nodes each",
    async (balance) => {
      const nodes: RunningServer[] = [];
      for (let i = 0; i < 3; i++) nodes.push(await startNode(nodes));
      const haproxy = await Haproxy.start(scene, balance, nodes);
      const listeners = Array.from({ length: LISTENERS }, (_, i) => `  - {endpoint_id: e${i}, addr: 1}`);
      const path = `${await scene.directory()}/agent.yaml`;
      await writeFile(path, `listeners:\n${listeners.join("\n")}\n`);
      const agent = startAgentOfFile(scene, haproxy.upstream, path);
      const connected = (): number =>
        agent.lines.filter(({ fields }) => fields["msg"] === "connected").length;
      await eventually(() => connected() >= LISTENERS, "the first tunnels", 60_000);
      const startMs = performance.now();
      await untilHomes(nodes, LISTENERS, 2, FIND_MS);
      const foundMs = Math.round(performance.now() - startMs);

      for (const [place, node] of [...nodes].entries()) {
        node.program.signal("SIGTERM");
        await node.program.stopped(60_000);
        nodes.splice(nodes.indexOf(node), 1);
        const next = await startNode(nodes);
        nodes.push(next);
        await haproxy.replace(place, next);
      }
      const rolledMs = performance.now();
      await untilHomes(nodes, LISTENERS, 2, FIND_MS);
      const againMs = Math.round(performance.now() - rolledMs);
      const counts = async (): Promise<number[]> =>
        Promise.all(
          nodes.map(async ({ admin }) => (await metric(admin, "piko_upstreams_connected_upstreams")) ?? 0),
        );
      console.info(
        `${balance}: found after ${foundMs} ms, again after ${againMs} ms; ${(await counts()).join(", ")} tunnels`,
      );
      if (!LONG) return;
      const mean = (2 * LISTENERS) / nodes.length;
      await eventually(
        async () => (await counts()).every((count) => Math.abs(count - mean) <= 0.3 * mean),
        "even shares",
        BALANCE_MS,
      );
      console.info(
        `${balance}: even after ${Math.round(performance.now() - rolledMs)} ms; ${(await counts()).join(", ")} tunnels`,
      );
      await untilHomes(nodes, LISTENERS, 2, FIND_MS);
    },
    300_000,
  );
});
