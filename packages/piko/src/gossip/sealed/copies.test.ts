// Sealed packets that an attacker copies or holds back: what counts as a sign of life.

import { beforeEach, describe, expect, it } from "vitest";
import { dropped, isWhole, SealedLab, type SealedNode } from "../../../test/sealed-lab.js";

let lab: SealedLab;

beforeEach(() => {
  lab = new SealedLab();
});

/** Two nodes of a converged cluster, a third one, and the packets that b has sent to a since. */
async function recordTraffic(): Promise<{ a: SealedNode; b: SealedNode; c: SealedNode; packets: Buffer[] }> {
  const a = lab.start("a");
  const b = lab.start("b", {}, [a.addr]);
  const c = lab.start("c", {}, [a.addr]);
  await lab.run(2_000);
  expect(isWhole(a, b, c)).toBe(true);
  lab.captured = [];
  await lab.run(3_000);
  const packets = lab.captured.filter(({ from, to }) => from === b.addr && to === a.addr);
  expect(packets.length).toBeGreaterThan(20);
  return { a, b, c, packets: packets.map(({ bytes }) => bytes) };
}

/**
 * From now on holds back all packets from b to a, and fails exchanges over TCP. The returned function releases the packets that
 * were sent at least `lateMs` ago.
 */
function holdBack(a: SealedNode, b: SealedNode): (lateMs: number) => void {
  const late: { at: number; send: () => void }[] = [];
  const inner = lab.network.sendPacket.bind(lab.network);
  lab.network.sendPacket = (from, to, bytes) => {
    const send = (): void => inner(from, to, bytes);
    if (from.address === b.addr && to === a.addr) late.push({ at: lab.clock.now(), send });
    else send();
  };
  lab.network.exchange = () => () => {};
  return (lateMs) => {
    while (late[0] !== undefined && late[0].at + lateMs <= lab.clock.now()) late.shift()?.send();
  };
}

describe("a copy", () => {
  it("that arrives at the same node again is no sign of life and changes nothing", async () => {
    const { a, b, packets } = await recordTraffic();
    const sent = lab.captured.length;
    lab.network.crash(lab.network.transport(b.addr), "host");
    await b.gossip.close();
    const before = lab.clock.now();
    for (let i = 0; i < 40; i++) {
      for (const packet of packets) lab.send(b.addr, a.addr, packet);
      await lab.run(100);
    }
    expect(dropped(a)["replay"]).toBe(packets.length * 40);
    expect(lab.captured.length - sent).toBeGreaterThan(0);
    // The copies don't keep b alive.
    expect(a.view.nodes.get("b")?.unreachable).toBe(true);
    expect(lab.clock.now() - before).toBeLessThan(4_500);
  });

  it("that arrives at another node is no sign of life there", async () => {
    const { b, c, packets } = await recordTraffic();
    lab.network.crash(lab.network.transport(b.addr), "host");
    await b.gossip.close();
    let next = 0;
    // Each packet once, spread over the time in which b falls silent.
    for (let i = 0; i < 40; i++) {
      for (; next < (packets.length * (i + 1)) / 40; next++)
        lab.send(b.addr, c.addr, packets[next] as Buffer);
      await lab.run(100);
    }
    expect(c.view.nodes.get("b")?.unreachable).toBe(true);
    expect(dropped(c)).toEqual({});
  });
});

describe("an answer", () => {
  it("that is held back for some seconds keeps a dead node in the table for that long, and no longer", async () => {
    const { a, b } = await recordTraffic();
    const release = holdBack(a, b);
    // The delay grows, so that there is always a packet to release.
    for (let i = 0; i < 200; i++) {
      await lab.run(100);
      release(50 * i);
      expect(a.view.nodes.get("b")?.unreachable).toBe(false);
    }
    await b.gossip.close();
    for (let i = 0; i < 130; i++) {
      await lab.run(100);
      release(10_000);
    }
    expect(a.view.nodes.get("b")?.unreachable).toBe(true);
  });

  it("that is held back for longer than clocks may differ is dropped", async () => {
    const { a, b } = await recordTraffic();
    const release = holdBack(a, b);
    await lab.run(61_000);
    for (let i = 0; i < 50; i++) {
      await lab.run(100);
      release(60_100);
      expect(a.view.routable()).not.toContain("b");
    }
    expect(dropped(a)).toEqual({ clock: expect.any(Number) });
  });
});
