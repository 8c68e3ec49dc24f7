import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import type { Tunnel } from "./tunnel.js";
import { ReconnectWaits } from "./reconnect-waits.js";
import { Upstreams } from "./upstreams.js";

const tunnel = (endpointId: string): Tunnel => ({ endpointId, accepting: true, usable: true }) as Tunnel;

describe("Upstreams", () => {
  it("takes the tunnels of an endpoint in turns", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
    const [a, b, c] = [tunnel("e"), tunnel("e"), tunnel("e")];
    for (const one of [a, b, c]) upstreams.add(one);
    expect([1, 2, 3, 4].map(() => upstreams.find("e")?.select(undefined))).toEqual([a, b, c, a]);
  });

  it("passes over tunnels that take no stream, and over the one that has just failed", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
    const [a, b, full] = [tunnel("e"), tunnel("e"), { ...tunnel("e"), accepting: false } as Tunnel];
    for (const one of [a, full, b]) upstreams.add(one);
    expect([1, 2, 3].map(() => upstreams.find("e")?.select(undefined))).toEqual([a, b, a]);
    expect([1, 2, 3].map(() => upstreams.find("e")?.select(a))).toEqual([b, b, b]);
    upstreams.remove(b);
    expect(upstreams.find("e")?.select(a)).toBeUndefined();
  });

  it("keeps the turns of the others when one goes", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
    const [a, b, c] = [tunnel("e"), tunnel("e"), tunnel("e")];
    for (const one of [a, b, c]) upstreams.add(one);
    expect(upstreams.find("e")?.select(undefined)).toBe(a);
    upstreams.remove(a);
    expect([1, 2, 3].map(() => upstreams.find("e")?.select(undefined))).toEqual([b, c, b]);
  });

  it("sends nothing to a draining tunnel while there is another", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
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

  it("tells how many listeners take requests: draining ones only while they are all there is", () => {
    const told: number[] = [];
    const waits = new ReconnectWaits(new FakeClock(), 5_000, 10);
    const upstreams = new Upstreams(waits, (_endpointId, count) => void told.push(count));
    const [a, b] = [tunnel("e"), tunnel("e")];
    upstreams.add(a);
    upstreams.add(b);
    upstreams.drain(a);
    upstreams.drain(b);
    expect(told).toEqual([1, 2, 1, 2]);
    const leave = (one: Tunnel): void => {
      Object.assign(one, { usable: false, accepting: false });
      upstreams.drain(one);
    };
    leave(a);
    leave(b);
    upstreams.remove(a);
    upstreams.remove(b);
    expect(told).toEqual([1, 2, 1, 2, 1, 0]);
  });

  it("lets requests wait when the last listener takes none any more, and go on when it does again", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
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

  it("counts a tunnel that leaves twice once", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
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

  it("lists an endpoint whatever its name means to JavaScript", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
    for (const name of ["__proto__", "constructor"]) upstreams.add(tunnel(name));
    expect(JSON.stringify(upstreams.listenerCounts())).toBe('{"__proto__":1,"constructor":1}');
  });

  it("forgets an endpoint with its last tunnel", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
    const a = tunnel("e");
    upstreams.add(a);
    expect(upstreams.endpointCount).toBe(1);
    upstreams.remove(a);
    expect(upstreams.find("e")?.select(undefined)).toBeUndefined();
    expect(upstreams.endpointCount).toBe(0);
    expect(upstreams.listenerCounts()).toEqual({});
  });

  it("has only listeners that take requests in what it shows of all endpoints, whatever their names", () => {
    const upstreams = new Upstreams(new ReconnectWaits(new FakeClock(), 5_000, 10), () => {});
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

  it("tells nothing of a tunnel that it doesn't have", () => {
    const told: string[] = [];
    const waits = new ReconnectWaits(new FakeClock(), 5_000, 10);
    const upstreams = new Upstreams(waits, (endpointId) => void told.push(endpointId));
    upstreams.drain(tunnel("e"));
    upstreams.remove(tunnel("e"));
    expect([told, upstreams.tunnelCount]).toEqual([[], 0]);
  });
});
