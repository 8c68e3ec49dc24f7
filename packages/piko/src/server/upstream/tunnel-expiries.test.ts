// Tunnels whose token ends or no longer counts: gone at once for requests and other nodes, with a grace for what is under way.

import type { StreamHandler } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../test/port-peer.js";
import { type AgentOptions, type TestAgent, UpstreamRig } from "../../../test/upstream-rig.js";
import type { Tunnel } from "./tunnel.js";

let rig: UpstreamRig | undefined;
afterEach(async () => {
  const last = rig;
  rig = undefined;
  await last?.[Symbol.asyncDispose]();
  last?.clock.assertIdle();
});

const INTERNAL_ERROR = "yamux: peer ended the session: internal error";
/** Shorter than the first ping waits. */
const LIFE_MS = 20_000;

interface Scene {
  readonly rig: UpstreamRig;
  readonly agent: TestAgent;
  readonly tunnel: Tunnel;
}

/** A tunnel whose token ends soon. */
async function start(options?: AgentOptions): Promise<Scene> {
  rig = await UpstreamRig.start();
  const agent = await rig.agent(options);
  const { expiries, tunnel } = rig;
  expiries.watch(tunnel, rig.clock.now() + rig.wallOffsetMs + LIFE_MS);
  return { rig, agent, tunnel };
}

function handler(lost: string[] = []): StreamHandler {
  return { onData() {}, onEnd() {}, onWritable() {}, onReset: () => void lost.push("reset") };
}

function chosen({ rig }: Scene): Tunnel | undefined {
  const endpoint = rig.upstreams.find("e");
  return endpoint?.select(undefined) ?? endpoint?.selectDraining(undefined);
}

describe("at its token's end a tunnel", () => {
  it.each([true, false])(
    "is gone for choice, gossip and pages, and no sooner (agent of ours: %s)",
    async (capable) => {
      const scene = await start({ capable });
      const { rig, tunnel } = scene;
      const stream = tunnel.openStream(handler());
      stream?.flushFlags();
      // Its agent isn't silent.
      await eventually(() => stream?.unacknowledged === false);
      rig.clock.advance(LIFE_MS - 1);
      expect([chosen(scene), rig.upstreams.listenerCounts(), rig.told]).toEqual([tunnel, { e: 1 }, ["e 1"]]);
      rig.clock.advance(1);
      expect([chosen(scene), rig.upstreams.listenerCounts(), rig.told]).toEqual([
        undefined,
        {},
        ["e 1", "e 0"],
      ]);
      expect([tunnel.state, tunnel.usable, tunnel.accepting]).toEqual(["expired", false, false]);
      expect(rig.upstreams.tunnelCount).toBe(0);
      expect(await rig.log.line("upstream token is no longer valid")).toMatchObject({
        reason: "expired",
        "endpoint-id": "e",
      });
      stream?.reset();
      rig.clock.advance(50);
    },
  );

  it("is gone though it drains and still took requests", async () => {
    const scene = await start({ capable: false });
    scene.tunnel.drain();
    expect(chosen(scene)).toBe(scene.tunnel);
    scene.rig.clock.advance(LIFE_MS);
    expect(chosen(scene)).toBeUndefined();
    // Nor does letting it go from a hold bring it back.
    scene.tunnel.hold(true);
    scene.tunnel.hold(false);
    expect(scene.tunnel.usable).toBe(false);
  });

  it("tells an agent of ours at once, and ends when the last stream is over", async () => {
    const { agent, rig, tunnel } = await start();
    const lost: string[] = [];
    const stream = tunnel.openStream(handler(lost));
    stream?.flushFlags();
    await agent.until("stream");
    rig.clock.advance(LIFE_MS);
    await agent.until("go away");
    rig.clock.advance(4_000);
    expect([tunnel.state, lost, agent.heard]).toEqual(["expired", [], ["stream", "go away"]]);
    stream?.reset();
    rig.clock.advance(50);
    await agent.until("closed");
    expect(agent.heard).toEqual(["stream", "go away", "closed"]);
    await eventually(() => tunnel.state === "gone");
  });

  it("tells a Go agent nothing before its end, which makes it connect again", async () => {
    const { agent, rig, tunnel } = await start({ capable: false });
    const lost: string[] = [];
    const stream = tunnel.openStream(handler(lost));
    stream?.flushFlags();
    await agent.until("stream");
    rig.clock.advance(LIFE_MS + 4_000);
    // An answer to a ping comes behind all that was said.
    expect([agent.heard, lost]).toEqual([["stream"], []]);
    stream?.reset();
    rig.clock.advance(50);
    await agent.until(INTERNAL_ERROR);
    expect(agent.heard).toEqual(["stream", INTERNAL_ERROR]);
  });

  it.each([
    [true, "closed"],
    [false, INTERNAL_ERROR],
  ])("resets what is longer than the grace (agent of ours: %s)", async (capable, end) => {
    const { agent, rig, tunnel } = await start({ capable });
    const lost: string[] = [];
    tunnel.openStream(handler(lost))?.flushFlags();
    await agent.until("stream");
    rig.clock.advance(LIFE_MS);
    rig.clock.advance(4_999);
    expect(lost).toEqual([]);
    rig.clock.advance(51);
    expect(lost).toEqual(["reset"]);
    await agent.until(end);
  });

  it("ends at once when nothing is under way", async () => {
    const { agent, rig } = await start();
    rig.clock.advance(LIFE_MS);
    await agent.until("closed");
    expect(agent.heard).toEqual(["go away", "closed"]);
  });
});

describe("the end of a token", () => {
  it("is noticed within a second of a time of day that is set anew", async () => {
    const { rig, tunnel } = await start();
    rig.clock.advance(10);
    rig.wallOffsetMs += LIFE_MS;
    rig.clock.advance(1_000);
    expect(tunnel.state).toBe("expired");
  });

  it("can come sooner, for a reason that is told", async () => {
    const { agent, rig, tunnel } = await start();
    rig.expiries.expire(tunnel, "revoked");
    rig.expiries.expire(tunnel, "revoked");
    expect([tunnel.state, rig.upstreams.listenerCount("e")]).toEqual(["expired", 0]);
    await rig.log.line("upstream token is no longer valid");
    expect(rig.log.find("upstream token is no longer valid").map(({ reason }) => reason)).toEqual([
      "revoked",
    ]);
    rig.clock.advance(0);
    await agent.until("closed");
  });

  it("means nothing to one that has no end, is about to end, or is gone", async () => {
    const { agent, rig, tunnel } = await start();
    rig.expiries.watch(tunnel, Number.POSITIVE_INFINITY);
    tunnel.evict();
    rig.expiries.expire(tunnel, "revoked");
    await agent.until(INTERNAL_ERROR);
    await eventually(() => tunnel.state === "gone");
    expect(rig.log.find("upstream token is no longer valid")).toEqual([]);
  });

  it("is cut short when the node ends", async () => {
    const { agent, rig, tunnel } = await start({ capable: false });
    tunnel.openStream(handler())?.flushFlags();
    rig.clock.advance(LIFE_MS);
    rig.port.close();
    await agent.until(INTERNAL_ERROR);
  });
});
