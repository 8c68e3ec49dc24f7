// A cluster whose nodes are replaced one after the other while clients go on: nobody may notice. The long run replaces each
// of them ten times.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { haveGo, startGoAgent } from "../harness/go-peer.js";
import { LONG } from "../harness/long-run.js";
import { startAgent } from "../harness/piko.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { answer } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import type { Stage } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const ROUNDS = LONG ? 10 : 1;
/** The short run leaves room on the machine for the tests beside it. */
const RATE = LONG ? 1 : 0.3;
const scene = perTest();

/** Time limits of requests are other tests' subject: here they would judge the machine. */
const AGENT = { flags: ["--access-log.disable", "--timeout", "1m"] };

/** The sample service with WebSockets that send back what they get. */
async function startService(stage: Stage): Promise<string> {
  const server = createServer((request, response) => void answer(request, response));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) =>
    socket.on("message", (message, binary) => socket.send(message, { binary })),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.defer(async () => {
    for (const socket of sockets.clients) socket.terminate();
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("nodes that are replaced one after the other", () => {
  it("cost nothing with two agents: no request, no event stream, no WebSocket", async () => {
    const service = await startService(scene);
    const cluster = await RollingCluster.start(scene);
    for (let i = 0; i < 2; i++) await startAgent(scene, cluster.balancer.upstream, "web", service, AGENT);
    await cluster.knows("web");
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

  it("cost nothing with one agent", async () => {
    const service = await startService(scene);
    const cluster = await RollingCluster.start(scene);
    await startAgent(scene, cluster.balancer.upstream, "web", service, AGENT);
    await cluster.knows("web");
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
    "cost no request that may be repeated with one Go agent",
    async () => {
      const service = await startService(scene);
      const cluster = await RollingCluster.start(scene, { "grace-period": "20s" });
      await startGoAgent(scene, cluster.balancer.upstream, "web", service);
      await cluster.knows("web");
      const traffic = Traffic.start(scene, cluster.balancer.proxy, "web", { get: 250 * RATE });
      for (let i = 0; i < ROUNDS; i++) await cluster.roll();
      const { counts, failures } = await traffic.stop();
      console.info(`a Go agent, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(counts)}`);
      expect(failures.slice(0, 20)).toEqual([]);
    },
    1_800_000,
  );
});
