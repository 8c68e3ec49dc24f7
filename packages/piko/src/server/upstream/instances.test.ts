// Listeners with several tunnels: a second tunnel to the same node is sent elsewhere, unless it replaces the first one.

import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../test/port-peer.js";
import { UpstreamRig, type UpstreamRigOptions, upgradeRequest } from "../../../test/upstream-rig.js";
import { hashInstance } from "./hash-instance.js";

let rig: UpstreamRig | undefined;
afterEach(async () => {
  const last = rig;
  rig = undefined;
  await last?.[Symbol.asyncDispose]();
  expect(last?.port.highestClientCount ?? 0).toBe(0);
  last?.clock.assertIdle();
});

async function start(options?: UpstreamRigOptions): Promise<UpstreamRig> {
  rig = await UpstreamRig.start(options);
  return rig;
}

const INSTANCE = "x-piko-instance: one\r\n";
const REPEAT = "x-piko-instance-repeat: true\r\n";

describe("a second tunnel of a listener", () => {
  it("is sent to another node, without gossip and without a log line above debug", async () => {
    const rig = await start();
    await rig.agent({ fields: INSTANCE });
    const lines = rig.log.lines.length;
    const answer = await rig.refusal(upgradeRequest("e", INSTANCE));
    expect(answer).toMatch(/^HTTP\/1\.1 409 Conflict\r\n/);
    expect(answer).toContain("\r\nx-piko-node-id: n1\r\n");
    expect(answer).toContain('{"error":"listener has a tunnel to this node"}');
    expect(rig.announced).toEqual(["e 1"]);
    expect(rig.upstreams.tunnelCount).toBe(1);
    expect(rig.log.lines.slice(lines)).toEqual([]);
  });

  it("is sent to another node even if the node is full", async () => {
    const rig = await start({ limits: { maxTunnels: 1 } });
    await rig.agent({ fields: INSTANCE });
    expect(await rig.refusal(upgradeRequest("e", INSTANCE))).toMatch(/^HTTP\/1\.1 409 /);
    expect(rig.hits).toEqual([]);
  });

  it("replaces the first one if it asks for that, without a change for other nodes", async () => {
    const rig = await start();
    const first = await rig.agent({ fields: INSTANCE });
    const under = rig.tunnel.openStream({ onData() {}, onEnd() {}, onWritable() {}, onReset() {} });
    under?.flushFlags();
    await first.until("stream");
    await rig.agent({ fields: INSTANCE + REPEAT });
    await first.until("go away");
    const [older, newer] = rig.tunnels;
    expect([older?.state, newer?.state]).toEqual(["draining", "active"]);
    expect(rig.upstreams.find("e")?.select(undefined)).toBe(newer);
    expect(rig.announced).toEqual(["e 1"]);
    // The stream in progress continues. After it, the node closes the old tunnel if the agent doesn't.
    rig.clock.advance(6_000);
    expect(older?.usable).toBe(true);
    under?.end();
    under?.reset();
    rig.clock.advance(1_000);
    await eventually(() => rig.upstreams.tunnelCount === 1);
    // A third tunnel is compared with the second one.
    expect(await rig.refusal(upgradeRequest("e", INSTANCE))).toMatch(/^HTTP\/1\.1 409 /);
  });

  it.each([
    ["of another endpoint", "other", INSTANCE],
    ["of another tenant", "e", `${INSTANCE}x-piko-tenant-id: t\r\n`],
    ["of another listener", "e", "x-piko-instance: two\r\n"],
    ["of an agent that names no instance", "e", ""],
  ])("isn't a tunnel %s", async (_title, endpoint, fields) => {
    const rig = await start();
    await rig.agent({ fields: INSTANCE });
    await rig.agent({ endpoint, fields });
    await rig.agent({ fields: "" });
    expect(rig.upstreams.tunnelCount).toBe(3);
  });

  it("counts as a first one if its agent has given up the other, even with streams in progress", async () => {
    const rig = await start();
    const first = await rig.agent({ fields: INSTANCE });
    rig.tunnel.openStream({ onData() {}, onEnd() {}, onWritable() {}, onReset() {} })?.flushFlags();
    await first.until("stream");
    first.session.goAway();
    await eventually(() => rig.tunnel.state === "draining");
    await rig.agent({ fields: INSTANCE });
    expect(rig.upstreams.tunnelCount).toBe(2);
  });

  it("counts as a first one if the other's token is no longer valid", async () => {
    const rig = await start();
    await rig.agent({ fields: INSTANCE });
    rig.expiries.expire(rig.tunnel, "revoked");
    await rig.agent({ fields: INSTANCE });
    expect(rig.upstreams.tunnelCount).toBe(1);
  });

  it("is sent to another node if the first one was asked to move", async () => {
    const rig = await start();
    await rig.agent({ fields: INSTANCE });
    rig.drains.begin(rig.tunnels, 0, Number.POSITIVE_INFINITY);
    expect(await rig.refusal(upgradeRequest("e", INSTANCE))).toMatch(/^HTTP\/1\.1 409 /);
  });
});

it("an agent that is asked to move and finds no other node keeps its tunnel, unless the node stops", async () => {
  const rig = await start();
  const agent = await rig.agent({ fields: INSTANCE });
  rig.drains.begin(rig.tunnels, 0, Number.POSITIVE_INFINITY, true);
  await agent.until("go away");
  rig.clock.advance(29_000);
  expect([rig.tunnel.state, rig.tunnel.usable]).toEqual(["draining", true]);
  expect(rig.announced).toEqual(["e 1"]);
  rig.drains.begin(rig.tunnels, 0, Number.POSITIVE_INFINITY);
  rig.clock.advance(6_000);
  await eventually(() => rig.upstreams.tunnelCount === 0);
});

it("agents that name their instance are notified of a new node, others aren't", async () => {
  const rig = await start();
  const named = await rig.agent({ endpoint: "a", fields: INSTANCE });
  const unnamed = await rig.agent({ endpoint: "b" });
  const leaving = await rig.agent({ endpoint: "c", fields: INSTANCE });
  leaving.session.goAway();
  await eventually(() => rig.upstreams.activeCount === 2);
  rig.port.onNodeJoined();
  await named.until("node");
  for (const tunnel of rig.tunnels) tunnel.evict();
  for (const other of [unnamed, leaving]) {
    await eventually(() => other.received.some((word) => word !== "stream" && word !== "go away"));
    expect(other.received).not.toContain("node");
  }
});

it.each(["", "a b", "\u00fc", "x".repeat(65)])("a listener with the instance %j is refused", async (name) => {
  const rig = await start();
  const answer = await rig.refusal(upgradeRequest("e", `x-piko-instance: ${name}\r\n`));
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).toContain("invalid x-piko-instance (1 to 64 visible ASCII characters)");
});

it("the log has the hash of a listener's instance, never the instance itself", async () => {
  const rig = await start();
  const name = `!${"x".repeat(62)}~`;
  const agent = await rig.agent({ fields: `x-piko-instance: ${name}\r\n` });
  await rig.refusal(upgradeRequest("e", `x-piko-instance: ${name}\r\n`));
  agent.session.close();
  expect(await rig.log.line("upstream disconnected")).toMatchObject({ instance: hashInstance(name) });
  expect(JSON.stringify(rig.log.lines)).not.toContain(name);
});
