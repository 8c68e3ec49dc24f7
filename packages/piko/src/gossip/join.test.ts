// Joining and leaving, on a simulated network.

import { beforeEach, describe, expect, it } from "vitest";
import { encodeJoinAnswer } from "./wire/stream-codec.js";
import { A, B, C, GossipRig } from "../../test/gossip-rig.js";

let rig: GossipRig;
beforeEach(() => {
  rig = new GossipRig();
});

describe("joining", () => {
  it("is neither prevented nor delayed by one dead address", async () => {
    rig.startNode("a", A);
    const b = rig.startNode("b", B);
    const pending = b.gossip.join([`${C}:8003`, `${A}:8003`]);
    rig.clock.run(100);
    expect(await pending).toMatchObject({ outcome: "joined", nodeIds: ["a"] });
    expect(b.view.routable()).toEqual(["a"]);
  });

  it.each([
    ["without any address", [], "alone"],
    ["by the node's own address", [`${A}:8003`], "alone"],
    ["by another address of the node itself", ["10.1.1.1:8003"], "alone"],
    ["by an address without a node", [`${C}:8003`], "failed"],
    ["by the address of another node", [`${B}:8003`], "joined"],
    ["by two addresses, one of them without a node", [`${B}:8003`, `${C}:8003`], "joined"],
  ])("%s has the right outcome", async (_name, addresses, outcome) => {
    const a = rig.startNode("a", A);
    rig.startNode("b", B);
    // The same node at another address.
    const alias = rig.network.transport("10.1.1.1:8003");
    alias.attach({
      onPacket: () => {},
      onRequest: (_request, _ip, answer) => answer(encodeJoinAnswer({ nodeId: "a", addr: `${A}:8003` }, [])),
    });
    const pending = a.gossip.join(addresses);
    rig.clock.run(15_000);
    expect((await pending).outcome).toBe(outcome);
  });

  it("ends when others join by themselves", async () => {
    const a = rig.startNode("a", A);
    const pending = a.gossip.join([`${A}:8003`, "10.0.0.99:8003"]);
    rig.clock.run(100);
    rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(500);
    expect(await pending).toMatchObject({ outcome: "joined", nodeIds: ["b"], own: true });
  });

  it("is followed by a wait until all nodes are known", async () => {
    rig.startNode("a", A);
    rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(1_000);
    rig.network.conditions.delayMs = [80, 80];
    const c = rig.startNode("c", C);
    const joined = c.gossip.join([`${A}:8003`]);
    rig.clock.run(1_000, () => c.view.nodes.has("a"));
    await joined;
    expect(c.view.nodes.has("b")).toBe(false);
    const settled = c.gossip.settle();
    for (let i = 0; i < 30; i++) {
      rig.clock.run(100);
      await Promise.resolve();
    }
    await settled;
    expect([...c.view.nodes.keys()]).toEqual(["a", "b"]);
  });

  it("continues in the background after a failure", async () => {
    const a = rig.startNode("a", A);
    const pending = a.gossip.join([`${B}:8003`]);
    rig.clock.run(12_000);
    expect((await pending).outcome).toBe("failed");
    rig.startNode("b", B);
    rig.clock.run(3_000);
    expect(a.view.routable()).toEqual(["b"]);
  });

  it("ends when the signal is aborted, and on close", async () => {
    const a = rig.startNode("a", A);
    const controller = new AbortController();
    const aborted = a.gossip.join([`${C}:8003`], { signal: controller.signal });
    controller.abort(new Error("stopped"));
    await expect(aborted).rejects.toThrow("stopped");
    const closed = a.gossip.join([`${C}:8003`]);
    await a.gossip.close();
    await expect(closed).rejects.toThrow("gossip was closed");
  });
});

describe("leaving", () => {
  it("is confirmed by at most three nodes", async () => {
    const nodes = [A, B, C, "10.0.0.4", "10.0.0.5"].map((ip, i) => rig.startNode(`n${i}`, ip, [`${A}:8003`]));
    rig.clock.run(2_000);
    const leaving = nodes[2]?.gossip.leave();
    rig.clock.run(1_000);
    expect(await leaving).toBe(3);
    expect(await nodes[2]?.gossip.leave()).toBe(0);
    for (const { view } of nodes.filter((_, i) => i !== 2)) expect(view.nodes.get("n2")?.left).toBe(true);
  });

  it("ends at once when there is no one to inform", async () => {
    expect(await rig.startNode("a", A).gossip.leave()).toBe(0);
  });

  it("ends on close", async () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(1_000);
    rig.network.crash(b.transport, "host");
    const leaving = a.gossip.leave();
    await a.gossip.close();
    expect(await leaving).toBe(0);
  });
});
