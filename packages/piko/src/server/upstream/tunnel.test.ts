// A tunnel in each of its states: whether it accepts requests, what is reported to its agent and its owner, and how it ends.

import type { StreamHandler } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../test/port-peer.js";
import {
  type AgentOptions,
  type TestAgent,
  UpstreamRig,
  type UpstreamRigOptions,
} from "../../../test/upstream-rig.js";
import type { Tunnel } from "./tunnel.js";

let rig: UpstreamRig | undefined;
afterEach(async () => {
  const last = rig;
  rig = undefined;
  await last?.[Symbol.asyncDispose]();
  last?.clock.assertIdle();
});

interface Scene {
  readonly rig: UpstreamRig;
  readonly agent: TestAgent;
  readonly tunnel: Tunnel;
}

async function start(options?: AgentOptions, limits?: UpstreamRigOptions["limits"]): Promise<Scene> {
  rig = await UpstreamRig.start({ limits: { ...limits } });
  const agent = await rig.agent(options);
  return { rig, agent, tunnel: rig.tunnel };
}

const INTERNAL_ERROR = "yamux: peer ended the session: internal error";

/** The handler of a stream on the node; records a reset in `lost`. */
function handler(lost: string[] = []): StreamHandler {
  return { onData() {}, onEnd() {}, onWritable() {}, onReset: () => void lost.push("reset") };
}

/** How a tunnel is brought into each state. */
const STATES: Readonly<Record<string, (scene: Scene) => Promise<void> | void>> = {
  active: () => {},
  "drained by the node": ({ tunnel }) => tunnel.drain(),
  "drained by its agent": async ({ agent, tunnel }) => {
    agent.session.goAway();
    await eventually(() => tunnel.state === "draining");
  },
  held: ({ tunnel }) => {
    tunnel.drain();
    tunnel.hold(true);
  },
  "held and released": ({ tunnel }) => {
    tunnel.drain();
    tunnel.hold(true);
    tunnel.hold(false);
  },
  evicted: ({ tunnel }) => tunnel.evict(),
  gone: async ({ agent, tunnel }) => {
    agent.session.close();
    await eventually(() => tunnel.state === "gone");
  },
};

describe("whether a tunnel accepts requests", () => {
  it.each([
    // state in words, state by name, whether it accepts requests, listeners that the endpoint counts
    ["active", "active", true, 1],
    ["drained by the node", "draining", true, 1],
    ["drained by its agent", "draining", false, 0],
    ["held", "draining", false, 0],
    ["held and released", "draining", true, 1],
    ["evicted", "draining", false, 0],
    ["gone", "gone", false, 0],
  ])("%s", async (name, state, usable, listeners) => {
    const scene = await start({ capable: false });
    await STATES[name]?.(scene);
    const { rig, tunnel } = scene;
    expect([tunnel.state, tunnel.usable, tunnel.accepting]).toEqual([state, usable, usable]);
    const endpoint = rig.upstreams.find("e");
    const found = endpoint?.select(undefined) ?? endpoint?.selectDraining(undefined);
    expect(found).toBe(usable ? tunnel : undefined);
    expect(rig.upstreams.listenerCount("e")).toBe(listeners);
  });

  it("at its limit of streams: it doesn't, but is reported as full, not as gone", async () => {
    const { rig, tunnel } = await start(undefined, { maxStreamsPerTunnel: 2 });
    const endpoint = rig.upstreams.find("e");
    const first = tunnel.openStream(handler());
    tunnel.openStream(handler());
    expect([tunnel.accepting, tunnel.usable, tunnel.streamCount]).toEqual([false, true, 2]);
    expect([endpoint?.select(undefined), endpoint?.isFull(undefined)]).toEqual([undefined, true]);
    first?.reset();
    expect([tunnel.accepting, endpoint?.select(undefined)]).toEqual([true, tunnel]);
  });
});

describe("the request to move", () => {
  it.each([
    [true, "go away"],
    [false, undefined],
  ])("is sent to an agent that supports it (%s)", async (capable, received) => {
    const { agent, rig, tunnel } = await start({ capable });
    expect(tunnel.drainable).toBe(capable);
    tunnel.drain();
    tunnel.drain();
    // When this stream arrives, everything before it has arrived too.
    tunnel.openStream(handler())?.flushFlags();
    await agent.until("stream");
    expect(agent.received).toEqual(received === undefined ? ["stream"] : [received, "stream"]);
    await rig.log.line("upstream asked to move");
    expect(rig.log.find("upstream asked to move")).toHaveLength(1);
    expect([rig.upstreams.drainingCount, rig.upstreams.activeCount]).toEqual([1, 0]);
  });

  it("has no effect on a tunnel whose agent is already leaving", async () => {
    const scene = await start();
    await STATES["drained by its agent"]?.(scene);
    scene.tunnel.drain();
    scene.agent.session.close();
    await scene.rig.log.line("upstream disconnected");
    expect(scene.rig.log.find("upstream asked to move")).toEqual([]);
    expect(scene.rig.log.find("upstream draining")).toHaveLength(1);
  });

  it("by the node isn't logged as the agent's draining when the agent follows it", async () => {
    const { agent, rig, tunnel } = await start();
    tunnel.drain();
    agent.session.goAway();
    await eventually(() => !tunnel.usable);
    agent.session.close();
    await rig.log.line("upstream disconnected");
    expect(rig.log.find("upstream draining")).toEqual([]);
    expect(rig.announced).toEqual(["e 1", "e 0"]);
  });
});

it("a hold is reported once, and never for a tunnel that is gone", async () => {
  const scene = await start();
  const { rig, tunnel } = scene;
  tunnel.drain();
  for (const held of [true, true, false, false]) tunnel.hold(held);
  expect(rig.announced).toEqual(["e 1", "e 0", "e 1"]);
  await STATES["gone"]?.(scene);
  tunnel.hold(true);
  expect(rig.announced).toEqual(["e 1", "e 0", "e 1", "e 0"]);
});

it("a stream that an agent opens is refused, and its tunnel stays open", async () => {
  const { agent, tunnel } = await start();
  await agent.refusedStream();
  expect([tunnel.state, tunnel.streamCount]).toEqual(["active", 0]);
  tunnel.openStream(handler())?.flushFlags();
  await agent.until("stream");
});

describe("an end", () => {
  it("by eviction makes any agent reconnect, and is reported once", async () => {
    const { agent, rig, tunnel } = await start({ capable: false });
    const lost: string[] = [];
    tunnel.openStream(handler(lost));
    tunnel.evict();
    tunnel.evict();
    expect(lost).toEqual(["reset"]);
    await agent.until(INTERNAL_ERROR);
    await eventually(() => tunnel.state === "gone");
    await rig.log.line("upstream disconnected");
    expect(rig.log.find("upstream disconnected")).toHaveLength(1);
    expect(rig.announced).toEqual(["e 1", "e 0"]);
  });

  it("is reported to the endpoint before its requests, so that they go elsewhere", async () => {
    for (const end of [(tunnel: Tunnel) => tunnel.evict(), (tunnel: Tunnel) => tunnel.destroy()]) {
      const { rig, tunnel } = await start();
      const seen: unknown[] = [];
      const onReset = (): void => {
        const endpoint = rig.upstreams.find("e");
        seen.push(endpoint?.select(undefined), endpoint?.selectDraining(undefined), rig.announced.at(-1));
      };
      tunnel.openStream({ ...handler(), onReset });
      end(tunnel);
      expect(seen).toEqual([undefined, undefined, "e 0"]);
      await rig[Symbol.asyncDispose]();
    }
  });

  it("doesn't affect the turns of other tunnels", async () => {
    const { agent, rig, tunnel } = await start();
    await rig.agent();
    await rig.agent();
    agent.session.destroy();
    await eventually(() => tunnel.state === "gone");
    const endpoint = rig.upstreams.find("e");
    const turns = [1, 2, 3, 4].map(() => rig.tunnels.indexOf(endpoint?.select(undefined) as Tunnel));
    expect(new Set(turns)).toEqual(new Set([0, 1]));
    expect([turns[0], turns[1]]).toEqual([turns[2], turns[3]]);
  });
});
