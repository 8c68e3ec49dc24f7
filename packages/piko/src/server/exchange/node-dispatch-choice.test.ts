// Which of several upstreams a node chooses: the best one first, another one if a node sends the request back or an agent
// refuses it.

import { describe, expect, it } from "vitest";
import type { Kind } from "../../../test/cluster-rig.js";
import { clusterRigs, forwarded, GET, OK, POST, silent } from "../../../test/cluster-rigs.js";
import type { MemoryTunnel } from "../../../test/memory-stream.js";

const create = clusterRigs();

const sentBack = (value: string): string =>
  `HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nx-piko-reroute: ${value}\r\n\r\n`;
const DIAL =
  "GET /_piko/v1/tcp/e HTTP/1.1\r\nHost: node\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const MAY_REROUTE = "x-piko-hop-capabilities: reroute\r\n";

describe("the best of all upstreams is chosen", () => {
  const ORDER = [
    "own well",
    "node well",
    "own draining",
    "node draining",
    "own doubtful",
    "node doubtful",
    "node failed",
  ] as const;

  const sets = Array.from({ length: (1 << ORDER.length) - 1 }, (_, at) =>
    ORDER.filter((_, i) => ((at + 1) & (1 << i)) !== 0),
  );
  const cases = [GET, DIAL].flatMap((request) =>
    sets.map(
      (present) => [present.join(", "), request === DIAL ? "TCP dial" : "request", request, present] as const,
    ),
  );
  it.each(cases)("among %s for a %s", (_names, _what, request, present) => {
    const rig = create();
    const tunnels = new Map<string, MemoryTunnel>();
    for (const each of [...present].reverse()) {
      const [where, kind] = each.split(" ") as [string, Kind];
      if (where === "own") tunnels.set(each, rig.addTunnel(kind));
      else rig.addNode(kind, kind);
    }
    rig.socket.send(request);
    const joined = [...tunnels].filter(([, { streams }]) => streams.length > 0);
    const asked = [...joined.map(([name]) => name), ...rig.hops.map(({ id }) => `node ${id}`)];
    expect(asked).toEqual([present[0]]);
    rig.close();
    for (const [, { stream }] of joined) stream.handler.onReset();
  });
});

describe("a request of another node", () => {
  it.each([
    ["doubtful", "well", true],
    ["doubtful", "draining", false],
    ["doubtful", "doubtful", false],
    ["doubtful", "failed", false],
    ["draining", "well", false],
    ["well", "well", false],
  ] as const)(
    "that takes it back, with a tunnel here that is %s and one elsewhere that is %s, is sent back: %s",
    (here, there, back) => {
      for (const request of [GET, DIAL]) {
        const rig = create();
        rig.identifyAsNode();
        const tunnel = rig.addTunnel(here);
        rig.addNode("other", there);
        rig.socket.send(forwarded(MAY_REROUTE, request));
        expect([tunnel.streams.length, rig.hops.length]).toEqual([back ? 0 : 1, 0]);
        const answer = rig.socket.take();
        if (back) expect(answer).toMatch(/^HTTP\/1.1 502 .*x-piko-reroute: elsewhere\r\n/s);
        else expect(answer.slice(0, 13)).toBe(request === DIAL ? "HTTP/1.1 101 " : "");
        rig.close();
        if (!back) tunnel.stream.handler.onReset();
      }
    },
  );

  it.each([
    ["a node that doesn't take it back", true, ""],
    ["a client that claims to take it back", false, MAY_REROUTE],
  ])("of %s takes the best tunnel here", (_name, isNode, fields) => {
    const rig = create();
    if (isNode) rig.identifyAsNode();
    const tunnel = rig.addTunnel("doubtful");
    rig.addNode("other", "well");
    rig.socket.send(forwarded(fields));
    expect([tunnel.streams.length, rig.socket.take()]).toEqual([1, ""]);
  });

  it("is sent back instead of being answered that all upstreams are busy", () => {
    for (const fields of [MAY_REROUTE, ""]) {
      const rig = create();
      rig.identifyAsNode();
      rig.addTunnel("well").accepting = false;
      rig.addNode("other", "well");
      rig.socket.send(forwarded(fields));
      const expected = fields === "" ? /^HTTP\/1.1 503 /s : /^HTTP\/1.1 502 .*x-piko-reroute: elsewhere/s;
      expect(rig.socket.take()).toMatch(expected);
    }
    const rig = create({ limits: { maxRequestsPerEndpoint: 1 } });
    rig.identifyAsNode();
    rig.addTunnel("well");
    rig.addNode("other", "well");
    const endpoint = rig.upstreams.find("e");
    if (endpoint !== undefined) endpoint.requests = 1;
    rig.socket.send(forwarded(MAY_REROUTE));
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*x-piko-reroute: elsewhere/s);
    if (endpoint !== undefined) endpoint.requests = 0;
  });

  it("gets a reroute if the endpoint is gone", () => {
    const rig = create();
    rig.identifyAsNode();
    rig.addNode("other", "well");
    rig.socket.send(forwarded(MAY_REROUTE));
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*x-piko-reroute: true/s);
  });

  it("of a Go node, which accepts nothing back, makes a second hop and no third one", () => {
    for (const request of [GET, POST, DIAL]) {
      const rig = create();
      rig.identifyAsNode();
      rig.addNode("other", "well");
      rig.socket.send(forwarded("", request));
      expect(rig.hops.map(({ id }) => id)).toEqual(["other"]);
      rig.hop.connect();
      const sent = rig.hop.socket.take();
      expect([sent.match(/x-piko-forward: true\r\n/gi)?.length, sent.includes(MAY_REROUTE)]).toEqual([
        1,
        true,
      ]);
      rig.hop.socket.send(sentBack("true"));
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*x-piko-reroute: true/s);
      rig.close();
    }
  });

  it("that waits on a doubtful tunnel is sent back when another node has a better one", () => {
    for (const [request, stream, goes] of [
      [GET, {}, true],
      [POST, {}, false],
      [POST, { unsent: true }, true],
      [GET, { unacknowledged: false }, false],
    ] as const) {
      const rig = create();
      rig.identifyAsNode();
      silent(rig, forwarded(MAY_REROUTE, request), stream);
      rig.clock.advance(10_000);
      expect(rig.socket.take()).toBe("");
      rig.addNode("other", "well");
      rig.clock.advance(250);
      if (goes) expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*x-piko-reroute: elsewhere/s);
      else expect(rig.socket.take()).toBe("");
    }
  });
});

describe("a request that another node has sent back", () => {
  it("because of a better node goes to that node", () => {
    const rig = create();
    rig.addNode("a", "well");
    rig.addNode("b", "well");
    rig.socket.send(POST);
    expect(rig.hop.socket.take()).toContain(MAY_REROUTE);
    rig.answer(sentBack("elsewhere"));
    expect(rig.hops.map(({ id }) => id)).toEqual(["a", "b"]);
    rig.answer(OK);
    expect(rig.statuses).toEqual({ "200": 1 });
  });

  it("returns to it if there is no better node after all, and isn't sent back again", () => {
    const rig = create();
    rig.addNode("a", "well");
    rig.socket.send(POST);
    rig.answer(sentBack("elsewhere"));
    expect(rig.hops.map(({ id }) => id)).toEqual(["a", "a"]);
    expect(rig.hop.socket.take()).not.toContain(MAY_REROUTE);
    rig.answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    expect(rig.statuses).toEqual({ "503": 1 });
  });

  it("takes a doubtful tunnel of this node first", () => {
    const rig = create();
    const tunnel = rig.addTunnel("doubtful");
    rig.addNode("a", "well");
    rig.socket.send(POST);
    rig.answer(sentBack("elsewhere"));
    expect([rig.hops.length, tunnel.streams.length]).toEqual([1, 1]);
  });

  it("keeps its three tries, but isn't sent around forever", () => {
    const rig = create();
    rig.addNode("a", "well");
    rig.addNode("b", "well");
    rig.socket.send(GET);
    for (let i = 0; i < 20 && rig.socket.take() === "" && rig.upstreams.waits.count === 0; i++) {
      rig.answer(sentBack("true"));
    }
    expect(rig.hops.length).toBe(9);
    expect(rig.upstreams.waits.count).toBe(1);
    rig.clock.advance(5_500);
    expect(rig.statuses).toEqual({ "502": 1 });
  });

  it("still has three counted tries after uncounted ones", () => {
    const rig = create();
    rig.addNode("a", "well");
    rig.addNode("b", "well");
    rig.socket.send(GET);
    for (let i = 0; i < 3; i++) rig.answer(sentBack("true"));
    for (let i = 0; i < 2; i++) {
      rig.hop.connect();
      rig.hop.socket.handler?.onClose(undefined);
    }
    rig.answer(OK);
    expect(rig.statuses).toEqual({ "200": 1 });
  });
});

describe("a request that agents refuse", () => {
  const refuse = (tunnel: MemoryTunnel): void => {
    tunnel.stream.refused = true;
    tunnel.stream.handler.onReset();
  };

  it("keeps its three tries", () => {
    for (const request of [GET, POST]) {
      const rig = create();
      const [a, b] = [rig.addTunnel("well"), rig.addTunnel("well")];
      rig.socket.send(request);
      for (const each of [a, b, a, b]) refuse(each);
      a.stream.deliver(OK);
      expect(rig.statuses).toEqual({ "200": 1 });
    }
  });

  it("waits for its only agent to accept it again, as long as for one that disconnected", () => {
    const rig = create();
    const tunnel = rig.addTunnel("well");
    rig.socket.send(POST);
    refuse(tunnel);
    expect([tunnel.streams.length, rig.upstreams.waits.count]).toEqual([1, 1]);
    rig.clock.advance(250);
    expect(tunnel.streams.length).toBe(2);
    tunnel.stream.deliver(OK);
    expect(rig.statuses).toEqual({ "200": 1 });
    rig.socket.take();
    rig.socket.send(POST);
    for (let i = 0; i < 60 && rig.socket.take() === ""; i++) {
      if (rig.upstreams.waits.count === 0) refuse(tunnel);
      rig.clock.advance(250);
    }
    expect(rig.statuses).toEqual({ "200": 1, "502": 1 });
    expect(tunnel.streams.length).toBeLessThan(25);
  });
});
