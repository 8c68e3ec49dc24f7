// Requests whose upstreams are silent: which ones move to another upstream, and which ones stay.

import { describe, expect, it } from "vitest";
import type { ClusterRig } from "../../../test/cluster-rig.js";
import { clusterRigs, forwarded, GET, OK, POST, silent } from "../../../test/cluster-rigs.js";

const create = clusterRigs();
const PUT = POST.replace("POST", "PUT");

describe("a request whose agent has fallen silent", () => {
  it.each([
    ["goes to another tunnel when it may be repeated", GET, {}, true],
    ["goes to another tunnel with its body", PUT, {}, true],
    ["stays when the agent may have it and it mustn't be repeated", POST, {}, false],
    ["goes to another tunnel, whatever its method, when none of it was sent", POST, { unsent: true }, true],
    ["stays when the agent has accepted it", GET, { unacknowledged: false }, false],
  ])("%s", (_title, request, stream, goes) => {
    const rig = create();
    const tunnel = silent(rig, request, stream);
    const other = rig.addTunnel("well");
    rig.clock.advance(1_750);
    expect(other.streams).toHaveLength(0);
    rig.clock.advance(250);
    expect(other.streams).toHaveLength(goes ? 1 : 0);
    expect(tunnel.stream.calls).toEqual(goes ? ["reset"] : []);
    if (goes) expect(other.stream.written).toBe(tunnel.streams[0]?.written);
    (goes ? other : tunnel).stream.deliver(OK);
    expect(rig.statuses).toEqual({ "200": 1 });
  });

  describe("and whose timeout has expired", () => {
    const TIMEOUT_MS = 30_000;

    it("moves if it is safe to retry, even if the agent has accepted it", () => {
      const rig = create();
      const tunnel = silent(rig, GET, { unacknowledged: false });
      const other = rig.addTunnel("well");
      rig.clock.advance(TIMEOUT_MS - 250);
      expect(other.streams).toHaveLength(0);
      rig.clock.advance(500);
      expect(tunnel.stream.calls).toEqual(["reset"]);
      // Its timeout starts again.
      rig.clock.advance(TIMEOUT_MS - 1_000);
      other.stream.deliver(OK);
      expect(rig.statuses).toEqual({ "200": 1 });
    });

    it.each([
      ["mustn't be sent again", POST, "", "doubtful"],
      ["has part of its response", GET, "HTTP/1.1 200", "doubtful"],
      ["is with a healthy agent", GET, "", "well"],
    ] as const)("fails if it %s", (_why, request, begun, kind) => {
      const rig = create();
      const tunnel = rig.addTunnel("well");
      rig.socket.send(request);
      Object.assign(tunnel.stream, { unacknowledged: false });
      if (kind === "doubtful") rig.doubt(tunnel);
      if (begun !== "") tunnel.stream.deliver(begun);
      const other = rig.addTunnel("well");
      rig.clock.advance(TIMEOUT_MS + 250);
      expect(rig.statuses).toEqual({ "504": 1 });
      expect(other.streams).toHaveLength(0);
    });

    it("fails if there is no better upstream", () => {
      const rig = create();
      silent(rig, GET, { unacknowledged: false });
      rig.addTunnel("doubtful");
      rig.addNode("a", "doubtful");
      rig.clock.advance(TIMEOUT_MS + 250);
      expect(rig.statuses).toEqual({ "504": 1 });
    });

    it("leaves a node whose agents are all silent", () => {
      const rig = create();
      rig.addNode("a", "well");
      rig.socket.send(GET);
      rig.hop.connect();
      rig.table.setDoubt("a", "e", 1);
      rig.addNode("b", "well");
      rig.clock.advance(TIMEOUT_MS - 250);
      expect(rig.hops.map(({ id }) => id)).toEqual(["a"]);
      rig.clock.advance(500);
      expect(rig.hops.map(({ id }) => id)).toEqual(["a", "b"]);
      rig.answer(OK);
      expect(rig.statuses).toEqual({ "200": 1 });
    });
  });

  it("stays until there is a better upstream, then moves", () => {
    for (const kind of ["well", "draining"] as const) {
      const rig = create();
      silent(rig, GET);
      rig.addTunnel("doubtful");
      rig.addNode("a", "doubtful");
      rig.addNode("b", "failed");
      rig.clock.advance(400);
      rig.table.onFailure(rig.table.get("b") as never, rig.clock.now() + 1_000);
      rig.clock.advance(5_000 - 400);
      // By now, node b is no longer left out.
      expect(rig.hops.map(({ id }) => id)).toEqual(["b"]);
      rig.answer(OK);
      const second = create();
      silent(second, GET);
      second.addTunnel("doubtful");
      second.addNode("a", "doubtful");
      second.clock.advance(5_000);
      expect(second.hops).toEqual([]);
      const better = second.addTunnel(kind);
      second.clock.advance(250);
      expect(better.streams).toHaveLength(1);
    }
  });

  it("moves to another node", () => {
    for (const kind of ["well", "draining"] as const) {
      const rig = create();
      silent(rig, GET);
      rig.addNode("a", kind);
      rig.clock.advance(2_000);
      expect(rig.hops.map(({ id }) => id)).toEqual(["a"]);
    }
  });

  it("stays if its client wants it to go to no other node", () => {
    const rig = create();
    silent(rig, forwarded(""));
    rig.addNode("a", "well");
    rig.clock.advance(10_000);
    expect([rig.hops, rig.socket.take()]).toEqual([[], ""]);
  });

  it("stays if its body is no longer buffered", () => {
    const rig = create();
    silent(rig, `PUT / HTTP/1.1\r\nHost: e.test\r\nContent-Length: 70000\r\n\r\n${"x".repeat(70_000)}`);
    const other = rig.addTunnel("well");
    rig.clock.advance(10_000);
    expect(other.streams).toHaveLength(0);
  });

  it("stays if it has had an interim response", () => {
    const rig = create();
    const tunnel = silent(rig, GET);
    const other = rig.addTunnel("well");
    tunnel.stream.deliver("HTTP/1.1 103 Early Hints\r\n\r\n");
    rig.clock.advance(10_000);
    expect(other.streams).toHaveLength(0);
  });

  it("goes to at most three tunnels, if they may have seen it", () => {
    const rig = create();
    silent(rig, GET);
    const tunnels = [1, 2, 3].map(() => rig.addTunnel("well"));
    for (let i = 0; i < 5; i++) {
      rig.clock.advance(2_250);
      for (const tunnel of tunnels) {
        if (tunnel.streams.length === 0 || tunnel.doubtful) continue;
        tunnel.stream.unacknowledged = true;
        rig.doubt(tunnel);
      }
      if (tunnels.every(({ doubtful }) => doubtful)) break;
    }
    rig.clock.advance(5_000);
    expect(tunnels.map(({ streams }) => streams.length)).toEqual([1, 1, 0]);
  });
});

describe("a request whose node has fallen silent", () => {
  const lost = (request: string, options: { connected: boolean }): ClusterRig => {
    const rig = create();
    rig.addNode("a", "well");
    rig.socket.send(request);
    if (options.connected) rig.hop.connect();
    rig.table.setStatus("a", "unreachable");
    return rig;
  };

  it.each([
    ["goes elsewhere when it may be repeated", GET, true, true],
    ["stays when it mustn't be repeated", POST, true, false],
    ["goes elsewhere when the node can't have received it", POST, false, true],
  ])("%s", (_title, request, connected, goes) => {
    const rig = lost(request, { connected });
    rig.addNode("b", "well");
    rig.clock.advance(250);
    expect(rig.hops.map(({ id }) => id)).toEqual(goes ? ["a", "b"] : ["a"]);
    expect(rig.hops[0]?.socket.calls).toEqual(goes ? ["destroy"] : []);
    rig.answer(OK);
    expect(rig.statuses).toEqual({ "200": 1 });
  });

  it("stays if there is no better upstream, and gets its response late", () => {
    const rig = lost(GET, { connected: true });
    rig.addNode("b", "doubtful");
    rig.clock.advance(3_500);
    rig.answer(OK);
    expect(rig.statuses).toEqual({ "200": 1 });
  });

  it("stays until its timeout if it isn't safe to retry", () => {
    const rig = lost(POST, { connected: true });
    rig.addNode("b", "well");
    rig.clock.advance(30_500);
    expect(rig.statuses).toEqual({ "504": 1 });
  });
});
