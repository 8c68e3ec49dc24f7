// Calls of gRPC while the three nodes of a cluster are replaced one after the other: no unary call fails, and a stream ends
// only if its node stops, with UNAVAILABLE, and never hangs.

import { expect, it } from "vitest";
import { within } from "../harness/deadline.js";
import { codeOf, GrpcClient, GrpcService, Metadata, status } from "../harness/grpc.js";
import { startAgent } from "../harness/piko.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const CLIENTS = 6;

it("replacing nodes makes no unary call fail, and ends streams with UNAVAILABLE", async () => {
  const service = await GrpcService.start(scene);
  // Streams don't end by themselves: each node cuts them after its grace period.
  const cluster = await RollingCluster.start(scene, { "grace-period": "4s" });
  for (let i = 0; i < 2; i++) {
    await startAgent(scene, cluster.balancer.upstream, "web", service.addr, {
      flags: ["--protocol", "grpc", "--access-log.disable"],
    });
  }
  const { proxy } = cluster.balancer;
  // Each client has a channel of its own; by default, clients of the same address share one.
  const client = (i: number): GrpcClient =>
    new GrpcClient(scene, proxy, "web", { "grpc.use_local_subchannel_pool": 1, "piko.test": i });
  for (const node of cluster.nodes) await new GrpcClient(scene, node.proxy, "web").ready();
  let calls = 0;
  const rolled = new AbortController();
  scene.defer(() => rolled.abort());
  const failures: string[] = [];
  const callers = Array.from({ length: CLIENTS }, async (_, i) => {
    const own = client(i);
    while (!rolled.signal.aborted) {
      await own.unary(`call ${calls++}`).catch((error: unknown) => failures.push(String(error)));
    }
  });
  const ends: number[] = [];
  const streamers = Array.from({ length: CLIENTS }, async (_, i) => {
    const own = client(CLIENTS + i);
    while (!rolled.signal.aborted) {
      const chat = own.stub.chat(new Metadata(), {});
      const code = codeOf(chat);
      chat.write(Buffer.from("begun"));
      while (!rolled.signal.aborted && !(await Promise.race([code.then(() => true), pause()])))
        chat.write(Buffer.from("more"));
      chat.end();
      ends.push(await within(code, "end of a stream", 30_000));
    }
  });
  await cluster.roll();
  rolled.abort();
  await within(Promise.all([...callers, ...streamers]), "end of all calls");
  console.info(`${calls} unary calls, ${ends.length} streams`);
  expect(failures).toEqual([]);
  expect(calls).toBeGreaterThan(100);
  expect(ends.filter((code) => code !== status.OK && code !== status.UNAVAILABLE)).toEqual([]);
  // Each stream is cut at most once by each node.
  expect(ends.filter((code) => code === status.UNAVAILABLE).length).toBeLessThanOrEqual(CLIENTS * 3);
}, 600_000);

/** Resolves to false after a moment. */
function pause(): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), 100));
}
