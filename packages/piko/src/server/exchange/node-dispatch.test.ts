// Which tunnel a request takes, which one it takes if that is lost, and when it waits for one.

import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { MemoryTunnel } from "../../../test/memory-stream.js";
import type { NodeRig, NodeRigOptions } from "../../../test/node-rig.js";
import { GET, nodeRigs } from "../../../test/node-rigs.js";
import { ClusterTable } from "../cluster/cluster-table.js";
import { Hops } from "../upstream/hop/hops.js";
import type { ProxyDependencies } from "./proxy-context.js";

const POST = "POST /x HTTP/1.1\r\nHost: e.test\r\nContent-Length: 2\r\n\r\nab";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const create = nodeRigs();

function add(rig: NodeRig, endpointId = "e"): MemoryTunnel {
  const tunnel = new MemoryTunnel(endpointId);
  rig.upstreams.add(tunnel.asTunnel());
  return tunnel;
}

describe("NodeDispatch", () => {
  it("takes another tunnel for a request that the first one can't have acted on", () => {
    for (const request of [GET, POST]) {
      const rig = create();
      const other = add(rig);
      rig.socket.send(request);
      rig.stream.refused = true;
      rig.stream.handler.onReset();
      expect(other.stream.written).toBe(rig.tunnel.streams[0]?.written);
      other.stream.deliver(OK);
      expect(rig.statuses).toEqual({ "200": 1 });
      expect(rig.context.upstreamMetrics.retries).toBe(1);
    }
  });

  it("retries only requests that are safe to retry if the first tunnel may have acted on them", () => {
    for (const [request, again] of [
      [GET, true],
      [POST, false],
    ] as const) {
      const rig = create();
      const other = add(rig);
      rig.socket.send(request);
      rig.stream.handler.onEnd();
      expect(other.streams.length).toBe(again ? 1 : 0);
      if (!again) expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*upstream unreachable/s);
    }
  });

  it("tries at most three times", () => {
    const rig = create();
    const other = add(rig);
    rig.socket.send(GET);
    rig.stream.handler.onReset();
    other.stream.handler.onReset();
    rig.stream.handler.onReset();
    expect([rig.asked, other.streams.length]).toEqual([2, 1]);
    expect(rig.statuses).toEqual({ "502": 1 });
  });

  it("doesn't retry a request whose response has begun", () => {
    const rig = create();
    const other = add(rig);
    rig.socket.send(GET);
    rig.stream.deliver("HTTP/1.1 2");
    rig.stream.handler.onReset();
    expect([other.streams.length, rig.statuses]).toEqual([0, { "502": 1 }]);
  });

  it("takes a draining tunnel if there is no other", () => {
    const rig = create();
    rig.upstreams.drain(rig.tunnel.asTunnel());
    rig.socket.send(GET);
    expect(rig.asked).toBe(1);
  });

  it("refuses a request if all tunnels are full", () => {
    const rig = create();
    rig.tunnel.accepting = false;
    rig.socket.send(GET);
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 503 .*Retry-After: 1\r\n.*all upstreams are busy/s);
    expect(rig.hits).toEqual(["max_streams_per_tunnel"]);
  });

  describe("waits for an endpoint that has just lost its upstreams", () => {
    const lost = (options?: NodeRigOptions): NodeRig => {
      const rig = create(options);
      rig.upstreams.remove(rig.tunnel.asTunnel());
      return rig;
    };

    it("and continues when one comes back, with the part of the body received so far", () => {
      const rig = lost();
      rig.socket.send(POST, POST.length - 1);
      expect([rig.upstreams.waits.count, rig.socket.take()]).toEqual([1, ""]);
      const back = add(rig);
      expect(back.stream.written.endsWith("\r\n\r\nab")).toBe(true);
      expect(rig.socket.paused).toBe(false);
      back.stream.deliver(OK);
      expect(rig.statuses).toEqual({ "200": 1 });
    });

    it("and gives up after the maximum wait", () => {
      const rig = lost();
      rig.socket.send(GET);
      rig.clock.advance(rig.context.config.reconnectWaitMs + 250);
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*no available upstreams/s);
    });

    it("and stops waiting when the client disconnects", () => {
      const rig = lost();
      rig.socket.send(GET);
      rig.close();
      expect([rig.upstreams.waits.count, rig.statuses]).toEqual([0, { "499": 1 }]);
    });

    it("unless too many requests wait", () => {
      const rig = lost();
      for (let i = 0; i < 10; i++) rig.upstreams.waits.wait("e", { onUpstream() {} });
      rig.socket.send(GET);
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 503 /);
      expect(rig.hits).toEqual(["max_waiting_requests"]);
      rig.upstreams.waits.onFound("e");
    });

    it("even if the upstream was lost with its request", () => {
      const rig = create();
      rig.socket.send(GET);
      rig.tunnel.usable = false;
      rig.upstreams.remove(rig.tunnel.asTunnel());
      rig.stream.handler.onReset();
      expect(rig.upstreams.waits.count).toBe(1);
      add(rig).stream.deliver(OK);
      expect(rig.statuses).toEqual({ "200": 1 });
    });
  });

  describe("answers a request for an endpoint that is just gone", () => {
    const FORWARDED = GET.replace("\r\n\r\n", "\r\nx-piko-forward: true\r\n\r\n");
    const table = {
      nodes: () => [{ proxyAddr: "192.0.2.1:8000" }],
      select: () => undefined,
      hasEndpoint: () => false,
      isBack: () => false,
    };
    const ofNodes = { dependencies: { cluster: { table, has: () => false } } } as unknown as NodeRigOptions;

    it.each<[string, NodeRigOptions, string, boolean, boolean]>([
      // sender, cluster, request; whether it is answered at once, and with a reroute
      ["a node", ofNodes, FORWARDED, true, true],
      ["a client that claims to be a node", {}, FORWARDED, false, false],
      ["a node with a request that it hasn't forwarded", ofNodes, GET, false, false],
    ])(
      "at once, and with a reroute, only if the sender is a node: %s",
      (_who, options, request, atOnce, reroute) => {
        const rig = create(options);
        rig.upstreams.remove(rig.tunnel.asTunnel());
        rig.socket.send(request);
        expect(rig.upstreams.waits.count).toBe(atOnce ? 0 : 1);
        rig.clock.advance(rig.context.config.reconnectWaitMs + 250);
        const answer = rig.socket.take();
        expect(answer).toMatch(/^HTTP\/1.1 502 .*no available upstreams/s);
        expect(answer.includes("x-piko-reroute: true\r\n")).toBe(reroute);
      },
    );
  });

  it("opens no connection to another node with the last file descriptors", () => {
    for (const out of [true, false]) {
      const clock = new FakeClock();
      const table = new ClusterTable(() => 0);
      table.join("n");
      table.setAddress("n", "proxyAddr", "127.0.0.1:1");
      table.setAddress("n", "adminAddr", "127.0.0.1:2");
      table.setListeners("n", "e", 1);
      const hops = new Hops(table, clock);
      const cluster = { table, has: () => false };
      const files = { wouldBeExhausted: () => out };
      const rig = create({ dependencies: { cluster, hops, files } as unknown as Partial<ProxyDependencies> });
      rig.upstreams.remove(rig.tunnel.asTunnel());
      rig.socket.send(GET);
      const answer = rig.socket.take();
      expect(/^HTTP\/1.1 503 .*Retry-After: 1\r\n.*too many connections/s.test(answer)).toBe(out);
      expect([rig.hits, table.get("n")?.failures]).toEqual([out ? ["open_files"] : [], 0]);
      rig.close();
      hops.close();
      clock.advance(2_000);
    }
  });
});
