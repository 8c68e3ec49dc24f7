// TLS turned on in a cluster under traffic, as the guide says: no request fails and no stream ends. The long run has 300 requests a
// second.

import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { startTrafficService } from "../harness/traffic-service.js";
import { LONG } from "../harness/long-run.js";
import { MutualTls, type Port } from "../harness/mutual-tls.js";
import { type RunningServer, startAgent } from "../harness/piko.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { perTest } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const scene = perTest();
const RATE = LONG ? 1 : 0.3;
const MIX = { get: 180 * RATE, post: 110 * RATE, slow: 6 * RATE, events: 2 * RATE, webSockets: 2 * RATE };
/** Time limits of requests are other tests' subject: here they would judge the machine. */
const AGENT = ["--access-log.disable", "--timeout", "1m"];
/** A port whose answers the test reads stays plain. */
const SWITCHED: readonly Port[] = ["proxy", "upstream"];

it("is turned on in rolling restarts, by the guide's steps", async () => {
  const service = await startTrafficService(scene);
  const tls = new MutualTls(scene);
  const cluster = await RollingCluster.start(scene);
  const { balancer } = cluster;
  const start = async (scheme: string, flags: readonly string[]) => {
    const options = { flags: [...AGENT, ...flags] };
    return await startAgent(scene, `${scheme}://${balancer.upstream}`, "web", service, options);
  };
  const before = [await start("http", []), await start("http", [])];
  await cluster.knows("web");
  const plain = Traffic.start(scene, balancer.proxy, "web", MIX);

  const files = Object.fromEntries(
    SWITCHED.flatMap((port) => [
      [`${port}.tls.cert`, tls.server.cert],
      [`${port}.tls.key`, tls.server.key],
      [`${port}.tls.client.root-cas`, tls.ca.cert],
      [`${port}.tls.mode`, "optional"],
    ]),
  );
  await cluster.roll(files);

  const trust = ["--connect.tls.root-cas", tls.ca.cert];
  for (const agent of before) {
    await start("https", trust);
    await agent.stop();
  }
  const ca = readFileSync(tls.ca.cert);
  const secure = Traffic.start(scene, balancer.proxy, "web", MIX, () => ({ ca }));
  const { counts, failures } = await plain.stop();
  // Nobody comes without TLS any more, says the metric.
  const plainSoFar = (): Promise<number[]> => Promise.all(cluster.nodes.map(plainConnections));
  const last = await plainSoFar();
  const seen = secure.count("get");
  await eventually(() => secure.count("get") > seen + 100, "requests by TLS");
  expect(await plainSoFar()).toEqual(last);

  await cluster.roll(Object.fromEntries(SWITCHED.map((port) => [`${port}.tls.mode`, "required"])));
  const end = await secure.stop();
  console.info(`plain ${JSON.stringify(counts)}, by TLS ${JSON.stringify(end.counts)}`);
  expect([...failures, ...end.failures].slice(0, 20)).toEqual([]);
  expect(end.counts["events"]).toBeGreaterThan(5);
}, 1_800_000);

async function plainConnections({ admin }: RunningServer): Promise<number> {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  const numbers = [...text.matchAll(/^piko_tls_plain_total\{port="(?:proxy|upstream)"\} (\d+)$/gm)];
  return numbers.reduce((sum, [, count]) => sum + Number(count), 0);
}
