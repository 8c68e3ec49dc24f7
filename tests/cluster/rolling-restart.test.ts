// A cluster's nodes are replaced one after the other under load: no client may notice. The long run replaces each of them ten
// times.

import { describe, expect, it } from "vitest";
import { haveGo, startGoAgent } from "../harness/go-peer.js";
import { LONG } from "../harness/long-run.js";
import { startAgent } from "../harness/piko.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { perTest } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";
import { startTrafficService } from "../harness/traffic-service.js";

const ROUNDS = LONG ? 10 : 1;
/** The short run leaves CPU time for the tests that run at the same time. */
const RATE = LONG ? 1 : 0.3;
const scene = perTest();

/** Timeouts of requests are the subject of other tests. Here they would only measure the machine. */
const AGENT = { flags: ["--access-log.disable", "--timeout", "1m"] };

describe("nodes that are replaced one after the other", () => {
  it("cause no failure with two agents: all requests, event streams and WebSockets succeed", async () => {
    const service = await startTrafficService(scene);
    const cluster = await RollingCluster.start(scene);
    for (let i = 0; i < 2; i++) await startAgent(scene, cluster.balancer.upstream, "web", service, AGENT);
    await cluster.untilKnown("web");
    const traffic = Traffic.start(scene, cluster.balancer.proxy, "web", {
      get: 180 * RATE,
      post: 110 * RATE,
      slow: 6 * RATE,
      events: 2 * RATE,
      webSockets: 2 * RATE,
    });
    for (let i = 0; i < ROUNDS; i++) await cluster.roll();
    const { counts, failures } = await traffic.stop();
    console.info(`two agents, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(counts)}`);
    expect(failures.slice(0, 20)).toEqual([]);
    expect(counts["get"]).toBeGreaterThan(500);
    expect(counts["events"]).toBeGreaterThan(5);
  }, 1_800_000);

  it("cause no failure with one agent", async () => {
    const service = await startTrafficService(scene);
    const cluster = await RollingCluster.start(scene);
    await startAgent(scene, cluster.balancer.upstream, "web", service, AGENT);
    await cluster.untilKnown("web");
    const traffic = Traffic.start(scene, cluster.balancer.proxy, "web", {
      get: 180 * RATE,
      post: 110 * RATE,
      slow: 6 * RATE,
      events: 2 * RATE,
    });
    for (let i = 0; i < ROUNDS; i++) await cluster.roll();
    const { counts, failures } = await traffic.stop();
    console.info(`one agent, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(counts)}`);
    expect(failures.slice(0, 20)).toEqual([]);
  }, 1_800_000);

  it.runIf(haveGo)(
    "cause no failure of requests that are safe to retry with one Go agent",
    async () => {
      const service = await startTrafficService(scene);
      const cluster = await RollingCluster.start(scene, { "grace-period": "20s" });
      await startGoAgent(scene, cluster.balancer.upstream, "web", service);
      await cluster.untilKnown("web");
      const traffic = Traffic.start(scene, cluster.balancer.proxy, "web", { get: 250 * RATE });
      for (let i = 0; i < ROUNDS; i++) await cluster.roll();
      const { counts, failures } = await traffic.stop();
      console.info(`a Go agent, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(counts)}`);
      expect(failures.slice(0, 20)).toEqual([]);
    },
    1_800_000,
  );
});
