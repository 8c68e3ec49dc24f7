import { FakeClock, SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import type { Tunnel } from "./tunnel.js";
import { ReconnectWaits } from "./reconnect-waits.js";
import { Upstreams } from "./upstreams.js";

const tunnel = (endpointId: string): Tunnel =>
  ({ endpointId, accepting: true, usable: true, doubtful: false, streamCount: 0, turn: 0 }) as Tunnel;

const create = (random = () => 0): Upstreams =>
  new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {}, random);

describe("Upstreams", () => {
  it("takes two random tunnels, and selects the one with fewer requests or, if equal, the one selected longer ago", () => {
    const random = new SeededRandom(5);
    const upstreams = create(() => random.next());
    const [a, b] = [tunnel("e"), tunnel("e")];
    for (const one of [a, b]) upstreams.add(one);
    const endpoint = upstreams.find("e");
    expect([1, 2, 3, 4].map(() => endpoint?.select(undefined))).toEqual([a, b, a, b]);
    Object.assign(a, { streamCount: 3 });
    expect([1, 2, 3].map(() => endpoint?.select(undefined))).toEqual([b, b, b]);
  });

  it("keeps a slow tunnel among many from filling up, and gives all others about equally many requests", () => {
    const random = new SeededRandom(6);
    const upstreams = create(() => random.next());
    const all = Array.from({ length: 10 }, () => tunnel("e"));
    for (const one of all) upstreams.add(one);
    const counts = new Map<Tunnel, number>(all.map((one) => [one, 0]));
    const busy: { one: Tunnel; ends: number }[] = [];
    for (let now = 0; now < 5_000; now++) {
      for (const { one } of busy.filter(({ ends }) => ends === now))
        Object.assign(one, { streamCount: one.streamCount - 1 });
      const one = upstreams.find("e")?.select(undefined) as Tunnel;
      counts.set(one, (counts.get(one) ?? 0) + 1);
      Object.assign(one, { streamCount: one.streamCount + 1 });
      busy.push({ one, ends: now + (one === all[0] ? 500 : 5) });
    }
    expect(all[0]?.streamCount).toBeLessThan(10);
    for (const one of all.slice(1)) expect(Math.abs((counts.get(one) ?? 0) - 550)).toBeLessThan(100);
  });

  it("skips tunnels that can't open a stream, and the one that has just failed", () => {
    const random = new SeededRandom(7);
    const upstreams = create(() => random.next());
    const [a, b, full] = [tunnel("e"), tunnel("e"), { ...tunnel("e"), accepting: false } as Tunnel];
    for (const one of [a, full, b]) upstreams.add(one);
    expect([1, 2, 3].map(() => upstreams.find("e")?.select(undefined))).toEqual([a, b, a]);
    expect([1, 2, 3].map(() => upstreams.find("e")?.select(a))).toEqual([b, b, b]);
    upstreams.remove(b);
    expect(upstreams.find("e")?.select(a)).toBeUndefined();
  });

  it("skips doubtful tunnels unless they are requested, and reports when there are no others", () => {
    const announced: string[] = [];
    const waits = new ReconnectWaits(new FakeClock(), 5_000, 10);
    const upstreams = new Upstreams(
      waits,
      (_id, ...what) => void announced.push(what.join(" ")),
      () => 0,
    );
    const [a, b] = [tunnel("e"), tunnel("e")];
    for (const one of [a, b]) upstreams.add(one);
    const endpoint = upstreams.find("e");
    const doubt = (one: Tunnel, doubtful: boolean): void => {
      Object.assign(one, { doubtful });
      upstreams.onDoubt(one);
    };
    doubt(a, true);
    expect([1, 2].map(() => endpoint?.select(undefined))).toEqual([b, b]);
    expect([endpoint?.selectDoubtful(undefined), endpoint?.hasFree(undefined), endpoint?.hasFree(b)]).toEqual(
      [a, true, false],
    );
    expect(upstreams.doubtfulCount).toBe(1);
    doubt(b, true);
    expect([endpoint?.select(undefined), endpoint?.selectDoubtful(a)]).toEqual([undefined, b]);
    // A draining doubtful tunnel is no better.
    upstreams.drain(a);
    expect([endpoint?.selectDraining(undefined), endpoint?.selectDoubtful(b)]).toEqual([undefined, a]);
    doubt(a, false);
    expect(endpoint?.selectDraining(undefined)).toBe(a);
    doubt(a, true);
    upstreams.remove(b);
    doubt(a, false);
    upstreams.remove(a);
    expect(announced).toEqual([
      "1 false",
      "2 false",
      "2 true",
      "1 true",
      "1 false",
      "1 true",
      "1 false",
      "0 false",
    ]);
  });

  it("doesn't select a draining tunnel while there is another one", () => {
    const upstreams = create();
    const [a, b] = [tunnel("e"), tunnel("e")];
    upstreams.add(a);
    upstreams.add(b);
    upstreams.drain(a);
    expect([1, 2, 3].map(() => upstreams.find("e")?.select(undefined))).toEqual([b, b, b]);
    upstreams.remove(b);
    expect(upstreams.find("e")?.select(undefined)).toBeUndefined();
    expect(upstreams.find("e")?.selectDraining(undefined)).toBe(a);
    expect(upstreams.find("e")?.selectDraining(a)).toBeUndefined();
  });

  it("reports how many listeners accept requests, including draining ones only if there are no others", () => {
    const announced: number[] = [];
    const waits = new ReconnectWaits(new FakeClock(), 5_000, 10);
    const upstreams = new Upstreams(
      waits,
      (_endpointId, count) => void announced.push(count),
      () => 0,
    );
    const [a, b] = [tunnel("e"), tunnel("e")];
    upstreams.add(a);
    upstreams.add(b);
    upstreams.drain(a);
    upstreams.drain(b);
    expect(announced).toEqual([1, 2, 1, 2]);
    const leave = (one: Tunnel): void => {
      Object.assign(one, { usable: false, accepting: false });
      upstreams.drain(one);
    };
    leave(a);
    leave(b);
    upstreams.remove(a);
    upstreams.remove(b);
    expect(announced).toEqual([1, 2, 1, 2, 1, 0]);
  });

  it("lets requests wait when the last listener accepts none any more, and continue when it does again", () => {
    const upstreams = create();
    const a = tunnel("e");
    upstreams.add(a);
    upstreams.drain(a);
    let woken = 0;
    const waiter = { onUpstream: () => void woken++ };
    expect(upstreams.waits.wait("e", waiter)).toBeUndefined();
    Object.assign(a, { usable: false });
    upstreams.drain(a);
    expect(upstreams.waits.wait("e", waiter)).toBeDefined();
    Object.assign(a, { usable: true });
    upstreams.drain(a);
    expect(woken).toBe(1);
  });

  it("counts a tunnel that is removed twice only once", () => {
    const upstreams = create();
    const [a, b] = [tunnel("e"), tunnel("e")];
    upstreams.add(a);
    upstreams.add(b);
    upstreams.drain(a);
    upstreams.drain(a);
    upstreams.remove(a);
    upstreams.remove(a);
    expect(upstreams.listenerCounts()).toEqual({ e: 1 });
    expect(upstreams.tunnelCount).toBe(1);
  });

  it("lists endpoints named like properties of JavaScript objects", () => {
    const upstreams = create();
    for (const name of ["__proto__", "constructor"]) upstreams.add(tunnel(name));
    expect(JSON.stringify(upstreams.listenerCounts())).toBe('{"__proto__":1,"constructor":1}');
  });

  it("forgets an endpoint with its last tunnel", () => {
    const upstreams = create();
    const a = tunnel("e");
    upstreams.add(a);
    expect(upstreams.endpointCount).toBe(1);
    upstreams.remove(a);
    expect(upstreams.find("e")?.select(undefined)).toBeUndefined();
    expect(upstreams.endpointCount).toBe(0);
    expect(upstreams.listenerCounts()).toEqual({});
  });

  it("counts only listeners that accept requests, for any names of endpoints", () => {
    const upstreams = create();
    const [a, b, gone] = [tunnel("__proto__"), tunnel("e"), { ...tunnel("f"), usable: false } as Tunnel];
    for (const one of [a, b, gone]) upstreams.add(one);
    upstreams.drain(gone);
    expect(Object.entries(upstreams.listenerCounts())).toEqual([
      ["__proto__", 1],
      ["e", 1],
    ]);
    expect([upstreams.tunnelCount, upstreams.endpointCount, upstreams.drainingCount]).toEqual([3, 3, 1]);
    expect(["e", "f", "nobody's"].map((id) => upstreams.listenerCount(id))).toEqual([1, 0, 0]);
  });

  it("reports nothing about an unknown tunnel", () => {
    const announced: string[] = [];
    const waits = new ReconnectWaits(new FakeClock(), 5_000, 10);
    const upstreams = new Upstreams(
      waits,
      (endpointId) => void announced.push(endpointId),
      () => 0,
    );
    upstreams.drain(tunnel("e"));
    upstreams.remove(tunnel("e"));
    expect([announced, upstreams.tunnelCount]).toEqual([[], 0]);
  });
});
