// An agent that falls silent on a real connection: how that shows in its tunnel, in the log and on other nodes.

import { afterEach, expect, it } from "vitest";
import { eventually } from "../../../test/port-peer.js";
import { UpstreamRig } from "../../../test/upstream-rig.js";

let rig: UpstreamRig | undefined;
afterEach(async () => {
  const last = rig;
  rig = undefined;
  await last?.[Symbol.asyncDispose]();
  last?.clock.assertIdle();
});

const HANDLER = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

it("a tunnel is doubtful while its agent leaves a stream unaccepted, and for a moment after that", async () => {
  rig = await UpstreamRig.start();
  const { clock, log, announced, upstreams } = rig;
  const agent = await rig.agent();
  const { tunnel } = rig;
  agent.socket.pause();
  tunnel.openStream(HANDLER)?.flushFlags();
  clock.advance(1_000);
  expect([tunnel.doubtful, upstreams.doubts]).toEqual([false, 0]);
  clock.advance(250);
  expect([tunnel.doubtful, tunnel.doubtReason, tunnel.accepting]).toEqual([true, "stream", true]);
  expect([upstreams.doubtfulCount, upstreams.doubts]).toEqual([1, 1]);
  expect(announced).toEqual(["e 1", "e 1 doubtful"]);
  expect(await log.line("upstream in doubt")).toMatchObject({
    "endpoint-id": "e",
    reason: "a stream not accepted in 1000 ms",
  });
  agent.socket.resume();
  await agent.until("stream");
  const waits = clock.now();
  await eventually(() => {
    if (tunnel.doubtful) clock.advance(250);
    return !tunnel.doubtful;
  });
  expect(clock.now() - waits).toBeGreaterThanOrEqual(500);
  expect(announced.at(-1)).toBe("e 1");
  await log.line("upstream no longer in doubt");
  expect(agent.received).toEqual(["stream"]);
});

it("a tunnel isn't doubtful because this process stood still", async () => {
  rig = await UpstreamRig.start();
  const { clock } = rig;
  const agent = await rig.agent();
  const { tunnel } = rig;
  clock.advance(500);
  tunnel.openStream(HANDLER)?.flushFlags();
  clock.advance(250);
  clock.pause(30_000);
  clock.advance(0);
  expect(tunnel.doubtful).toBe(false);
  await agent.until("stream");
  expect(rig.announced).toEqual(["e 1"]);
});

it("a tunnel that ends while doubtful is removed", async () => {
  rig = await UpstreamRig.start();
  const { clock, announced, upstreams } = rig;
  const agent = await rig.agent();
  agent.socket.pause();
  rig.tunnel.openStream(HANDLER)?.flushFlags();
  clock.advance(60_000);
  await eventually(() => upstreams.tunnelCount === 0);
  expect(announced).toEqual(["e 1", "e 1 doubtful", "e 0"]);
  expect(rig.hits).toEqual(["ping_timeout"]);
  agent.socket.resume();
});
