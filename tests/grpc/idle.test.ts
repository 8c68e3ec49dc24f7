// Streams of gRPC that carry only keep-alive pings, or nothing at all: for seconds with the shortest timeouts of node and
// agent, and with `npm run test:long` for ten minutes with the default ones.

import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { within } from "../harness/deadline.js";
import { codeOf, GrpcClient, GrpcService, Metadata, status } from "../harness/grpc.js";
import { LONG } from "../harness/long-run.js";
import { startAgent, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const SILENCE_MS = LONG ? 600_000 : 4_000;
const PINGS = {
  "grpc.keepalive_time_ms": LONG ? 30_000 : 500,
  "grpc.keepalive_timeout_ms": 10_000,
};
/** Short values for all timeouts except the write timeout, which limits how long a client may take to read what is sent to it. */
const NODE_LIMITS = LONG
  ? {}
  : {
      "proxy.timeout": "500ms",
      "proxy.http.read-timeout": "500ms",
      "proxy.http.read-header-timeout": "500ms",
      "proxy.http.idle-timeout": "500ms",
    };
const AGENT_LIMITS = LONG ? [] : ["--timeout", "500ms", "--http-client.idle-conn-timeout", "500ms"];

async function echo(call: ClientDuplexStream<Buffer, Buffer>, text: string): Promise<void> {
  const answer = once(call, "data");
  call.write(Buffer.from(text));
  expect(String((await within(answer, `echo of ${text}`))[0])).toBe(text);
}

it("streams outlast silence, with keep-alive and without, through one node and two", {
  timeout: SILENCE_MS + 180_000,
}, async () => {
  const service = await GrpcService.start(scene);
  const server = await startServer(scene, NODE_LIMITS);
  const other = await startServer(scene, { ...NODE_LIMITS, "cluster.join": server.gossip });
  const flags = ["--protocol", "grpc", ...AGENT_LIMITS];
  await startAgent(scene, server.upstream, "web", service.addr, { flags });
  const calls = await Promise.all(
    [server.proxy, other.proxy].flatMap((proxy) =>
      [PINGS, {}].map(async (options) => {
        const client = new GrpcClient(scene, proxy, "web", {
          ...options,
          "grpc.use_local_subchannel_pool": 1,
        });
        await client.ready();
        const call = client.stub.chat(new Metadata(), {});
        await echo(call, "before");
        return call;
      }),
    ),
  );
  await delay(SILENCE_MS);
  expect(service.cancelled).toBe(0);
  for (const call of calls) {
    await echo(call, "behind");
    call.end();
    expect(await within(codeOf(call), "end of the call")).toBe(status.OK);
  }
});
