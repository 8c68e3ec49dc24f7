// Tunnels whose token expires or becomes invalid: gone at once for new requests and other nodes, with a grace period for requests
// in progress.

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
/** Shorter than the time before the first ping. */
const LIFE_MS = 20_000;

interface Scene {
  readonly rig: UpstreamRig;
  readonly agent: TestAgent;
  readonly tunnel: Tunnel;
}

/** Opens a tunnel whose token expires soon. */
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

describe("when its token expires, a tunnel", () => {
  it.each([true, false])(
    "disappears from selection, gossip and pages, but not before (agent of ours: %s)",
    async (capable) => {
      const scene = await start({ capable });
      const { rig, tunnel } = scene;
      const stream = tunnel.openStream(handler());
      stream?.flushFlags();
      // Waits, since its agent would otherwise be considered silent.
      await eventually(() => stream?.unacknowledged === false);
      rig.clock.advance(LIFE_MS - 1);
      expect([chosen(scene), rig.upstreams.listenerCounts(), rig.announced]).toEqual([
        tunnel,
        { e: 1 },
        ["e 1"],
      ]);
      rig.clock.advance(1);
      expect([chosen(scene), rig.upstreams.listenerCounts(), rig.announced]).toEqual([
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

  it("is gone even if it was draining and still accepted requests", async () => {
    const scene = await start({ capable: false });
    scene.tunnel.drain();
    expect(chosen(scene)).toBe(scene.tunnel);
    scene.rig.clock.advance(LIFE_MS);
    expect(chosen(scene)).toBeUndefined();
    // The end of a hold doesn't bring it back either.
    scene.tunnel.hold(true);
    scene.tunnel.hold(false);
    expect(scene.tunnel.usable).toBe(false);
  });

  it("notifies one of our agents at once, and ends after its last stream", async () => {
    const { agent, rig, tunnel } = await start();
    const lost: string[] = [];
    const stream = tunnel.openStream(handler(lost));
    stream?.flushFlags();
    await agent.until("stream");
    rig.clock.advance(LIFE_MS);
    await agent.until("go away");
    rig.clock.advance(4_000);
    expect([tunnel.state, lost, agent.received]).toEqual(["expired", [], ["stream", "go away"]]);
    stream?.reset();
    rig.clock.advance(50);
    await agent.until("closed");
    expect(agent.received).toEqual(["stream", "go away", "closed"]);
    await eventually(() => tunnel.state === "gone");
  });

  it("doesn't notify a Go agent before its end, which makes the agent reconnect", async () => {
    const { agent, rig, tunnel } = await start({ capable: false });
    const lost: string[] = [];
    const stream = tunnel.openStream(handler(lost));
    stream?.flushFlags();
    await agent.until("stream");
    rig.clock.advance(LIFE_MS + 4_000);
    // Nothing was sent to the agent in the meantime.
    expect([agent.received, lost]).toEqual([["stream"], []]);
    stream?.reset();
    rig.clock.advance(50);
    await agent.until(INTERNAL_ERROR);
    expect(agent.received).toEqual(["stream", INTERNAL_ERROR]);
  });

  it.each([
    [true, "closed"],
    [false, INTERNAL_ERROR],
  ])("resets streams after the grace period (agent of ours: %s)", async (capable, end) => {
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

  it("ends at once if nothing is in progress", async () => {
    const { agent, rig } = await start();
    rig.clock.advance(LIFE_MS);
    await agent.until("closed");
    expect(agent.received).toEqual(["go away", "closed"]);
  });
});

describe("the expiry of a token", () => {
  it("is noticed within a second after the time of day was changed", async () => {
    const { rig, tunnel } = await start();
    rig.clock.advance(10);
    rig.wallOffsetMs += LIFE_MS;
    rig.clock.advance(1_000);
    expect(tunnel.state).toBe("expired");
  });

  it("may come sooner, for a logged reason", async () => {
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

  it("has no effect on a tunnel whose token never expires, or that is ending or gone", async () => {
    const { agent, rig, tunnel } = await start();
    rig.expiries.watch(tunnel, Number.POSITIVE_INFINITY);
    tunnel.evict();
    rig.expiries.expire(tunnel, "revoked");
    await agent.until(INTERNAL_ERROR);
    await eventually(() => tunnel.state === "gone");
    expect(rig.log.find("upstream token is no longer valid")).toEqual([]);
  });

  it("has no grace period when the node ends", async () => {
    const { agent, rig, tunnel } = await start({ capable: false });
    tunnel.openStream(handler())?.flushFlags();
    rig.clock.advance(LIFE_MS);
    rig.port.close();
    await agent.until(INTERNAL_ERROR);
  });
});
