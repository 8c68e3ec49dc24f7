// A node is lost silently, under load, with one agent and its usual two tunnels: clients of the other nodes notice nothing.
// `npm run test:long` takes ten rounds, half a minute of silence, and the full request rate.

import { describe, expect, it } from "vitest";
import { activeNodes } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { homes, untilHomes } from "../harness/homes.js";
import { LoadBalancer } from "../harness/load-balancer.js";
import { LONG } from "../harness/long-run.js";
import { haveNetworkLab, NetworkLab } from "../harness/network-lab.js";
import { type RunningServer, startAgent, startServerOn } from "../harness/piko.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { Traffic, type TrafficReport } from "../harness/traffic.js";

const ROUNDS = LONG ? 10 : 1;
/** The short run leaves CPU time for the tests that run at the same time. */
const RATE = LONG ? 1 : 0.3;
/** Longer than any request may wait. */
const SILENCE_MS = LONG ? 30_000 : 8_000;
const SLOWEST_MS = 5_000;
const MIX = { get: 240 * RATE, post: 60 * RATE };
const AGENT = { flags: ["--access-log.disable", "--timeout", "1m"] };
const scene = perTest();
const haveLab = await haveNetworkLab();

/** Traffic to the nodes that `living` currently returns. */
function trafficTo(living: () => readonly RunningServer[]): Traffic {
  let turn = 0;
  const proxy = (): string => {
    const nodes = living();
    return nodes[turn++ % nodes.length]?.proxy ?? "";
  };
  return Traffic.start(scene, proxy, "web", MIX);
}

/** One of the nodes that the only agent has a tunnel to. */
async function homeOf(nodes: readonly RunningServer[]): Promise<RunningServer> {
  const [admins] = (await homes(nodes)).values();
  const home = nodes.find(({ admin }) => admins?.has(admin));
  if (home === undefined) throw new Error("no tunnel");
  return home;
}

/** Only POSTs may have failed, and no request took too long. */
function judge(what: string, { counts, failures, slowestMs }: TrafficReport, lost: number): void {
  const posts = failures.filter((failure) => failure.startsWith("post"));
  const of = `of ${counts["get"]} GET and ${counts["post"]} POST`;
  console.info(
    `${what}: ${of} ${failures.length - posts.length} GET failed, and ${posts.length} POST; slowest GET ${slowestMs["get"]} ms`,
  );
  expect(failures.filter((failure) => !posts.includes(failure)).slice(0, 20)).toEqual([]);
  expect(counts["get"]).toBeGreaterThan(100);
  // While other tests run, this would measure the machine.
  if (LONG) expect(slowestMs["get"]).toBeLessThan(SLOWEST_MS);
  // A POST that the dead node may have delivered to the service isn't retried. At most those in progress at that moment fail.
  expect(posts.length).toBeLessThanOrEqual(lost * MIX.post * 0.1);
}

describe("a node that is lost, with one agent", () => {
  it("causes no failed request on the other nodes when it is killed, and its tunnel is opened elsewhere", async () => {
    const service = await Service.start(scene);
    const cluster = await RollingCluster.start(scene);
    await startAgent(scene, cluster.balancer.upstream, "web", service.addr, AGENT);
    await untilHomes(cluster.nodes, 1, 2);
    await cluster.untilKnown("web");
    let living: readonly RunningServer[] = [...cluster.nodes];
    const traffic = trafficTo(() => living);
    for (let round = 0; round < ROUNDS; round++) {
      for (const victim of [...cluster.nodes]) {
        living = cluster.nodes.filter((node) => node !== victim);
        await traffic.settled();
        await cluster.kill(victim);
        await untilHomes(cluster.nodes, 1, 2);
        await cluster.replace();
        await cluster.untilKnown("web");
        living = [...cluster.nodes];
      }
    }
    judge(`${ROUNDS * 3} nodes killed`, await traffic.stop(), ROUNDS * 3);
  }, 900_000);

  it("causes no failure of requests that are safe to retry when it is frozen, and none waits long", async () => {
    const service = await Service.start(scene);
    const cluster = await RollingCluster.start(scene);
    await startAgent(scene, cluster.balancer.upstream, "web", service.addr, AGENT);
    await untilHomes(cluster.nodes, 1, 2);
    await cluster.untilKnown("web");
    const victim = await homeOf(cluster.nodes);
    const living = cluster.nodes.filter((node) => node !== victim);
    const traffic = trafficTo(() => living);
    await eventually(() => traffic.count("get") > 20, "requests");
    victim.program.signal("SIGSTOP");
    await new Promise((resolve) => void setTimeout(resolve, SILENCE_MS));
    victim.program.signal("SIGCONT");
    judge(`a node frozen for ${SILENCE_MS} ms`, await traffic.stop(), 1);
  }, 300_000);

  it.runIf(haveLab)(
    "causes no failure of requests that are safe to retry when its network drops everything, and none waits long",
    async () => {
      const lab = await NetworkLab.create(scene);
      const hosts = [await lab.host("ipv4"), await lab.host("ipv4"), await lab.host("ipv4")];
      const join = { "cluster.join": hosts.map(({ main }) => main).join(",") };
      const nodes = await Promise.all(hosts.map((host) => startServerOn(scene, host, join)));
      const balancer = await LoadBalancer.start(scene);
      for (const node of nodes) {
        await balancer.add(node);
        await eventually(async () => (await activeNodes(node)).split(" ").length === 3, "three nodes");
      }
      const service = await Service.start(scene);
      await startAgent(scene, balancer.upstream, "web", service.addr, AGENT);
      await untilHomes(nodes, 1, 2);
      const victim = await homeOf(nodes);
      const living = nodes.filter((node) => node !== victim);
      const traffic = trafficTo(() => living);
      await eventually(() => traffic.count("get") > 20, "requests");
      const host = hosts[nodes.indexOf(victim)];
      await host?.vanish();
      await new Promise((resolve) => void setTimeout(resolve, SILENCE_MS));
      await host?.heal();
      judge(`a node vanished for ${SILENCE_MS} ms`, await traffic.stop(), 1);
    },
    300_000,
  );
});
