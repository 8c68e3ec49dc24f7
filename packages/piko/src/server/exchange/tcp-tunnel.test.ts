// A TCP client's WebSocket joined to an agent's stream: what each side receives from the other, in every state and with every
// kind of peer (decision 004), and the flow control between them.

import { describe, expect, it } from "vitest";
import { frame, type Kind, TcpRig, type TcpRigOptions } from "../../../test/tcp-rig.js";
import { tcpRigs } from "../../../test/tcp-rigs.js";

const { join, keep } = tcpRigs();

describe("one of our clients is cut", () => {
  it.each<[string, (rig: TcpRig) => void]>([
    ["by the end of TCP without a Close", (rig) => rig.clientEof()],
    ["by a Close with another code", (rig) => rig.clientCloses(1001, "going away")],
    ["when its connection fails", (rig) => rig.clientResets()],
    ["for a text message", (rig) => rig.socket.send(frame(1, "x"))],
    ["for an invalid frame", (rig) => rig.socket.send("\u00f2\u0080\0\0\0\0")],
    ["for a frame without a mask", (rig) => rig.socket.send("\u0082\u0001x")],
  ])("%s", (_title, cut) => {
    const rig = join();
    rig.clientSends("before");
    expect(rig.observed()).toBe("service: before");
    cut(rig);
    expect(rig.observed()).toMatch(/service: reset, over$/);
    expect(rig.stream.calls).toEqual(["reset"]);
  });
});

describe("the 101", () => {
  it("offers half-close to clients that offer it", () => {
    for (const [client, says] of [
      ["ours", true],
      ["Go", false],
    ] as const) {
      const rig = new TcpRig({ client });
      keep(rig);
      rig.socket.send(rig.request());
      const answer = rig.socket.take();
      expect(answer.includes("x-piko-capabilities: half-close\r\n")).toBe(says);
      expect(answer).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
      expect(rig.node.context.upstreamMetrics.requests).toBe(1);
    }
  });

  it("comes before data that is sent early, however it is split", () => {
    const { length } = new TcpRig().request();
    for (const cuts of [[], [length - 1], [length], [length + 1], [10, length + 3], [length, length + 6]]) {
      const rig = new TcpRig();
      keep(rig);
      rig.socket.send(rig.request() + frame(2, "early") + frame(2, "late"), ...cuts);
      expect(rig.stream.written).toBe("earlylate");
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 101 /);
    }
  });
});

it("pings are answered, and don't reach the service", async () => {
  const rig = join();
  rig.socket.send(frame(9, "are you there"));
  await new Promise((resolve) => setImmediate(resolve));
  expect(rig.observed()).toBe("client: pong are you there");
});

describe("a slow service", () => {
  it("holds its client back until it has consumed all queued bytes", () => {
    const rig = join();
    rig.stream.room = 2;
    rig.clientSends("abcdef");
    expect([rig.stream.written, rig.socket.paused]).toEqual(["ab", true]);
    expect(rig.node.budget.used).toBeGreaterThan(0);
    rig.stream.makeRoom(2);
    expect([rig.stream.written, rig.socket.paused]).toEqual(["abcd", true]);
    rig.stream.makeRoom();
    expect([rig.stream.written, rig.socket.paused]).toEqual(["abcdef", false]);
    expect(rig.node.budget.used).toBe(0);
    // More room has no effect if nothing is queued.
    rig.stream.makeRoom();
    expect(rig.stream.written).toBe("abcdef");
  });

  it.each<[Kind, Kind]>([
    ["ours", "ours"],
    ["Go", "ours"],
    ["Go", "Go"],
  ])("receives the end of a client (%s) after all its data, through an agent (%s)", (client, agent) => {
    const rig = join({ client, agent });
    rig.stream.room = 1;
    rig.clientSends("abc");
    rig.clientEnds();
    expect(rig.observed()).toBe(client === "Go" ? "service: a, client: destroy" : "service: a");
    // The 10 s don't begin before the service has received the client's end.
    rig.node.clock.advance(60_000);
    rig.serviceSends("still here");
    expect(rig.observed()).toBe(client === "Go" ? "" : "client: still here");
    rig.stream.makeRoom();
    expect(rig.observed()).toBe("service: bc, service: end");
    rig.serviceEnds();
    expect(rig.observed()).toMatch(/over$/);
  });

  it("gets nothing more from a client that is cut", () => {
    const rig = join();
    rig.stream.room = 1;
    rig.clientSends("abc");
    rig.clientResets();
    expect(rig.observed()).toBe("service: a, service: reset, over");
    expect(rig.node.budget.used).toBe(0);
  });

  it("loses queued bytes when its Go agent closes, and its client stays open", () => {
    const rig = join({ agent: "Go" });
    rig.stream.room = 1;
    rig.clientSends("abc");
    rig.serviceEnds();
    expect(rig.observed()).toBe("service: a, service: end, client: close 1000");
    expect([rig.node.budget.used, rig.socket.paused]).toEqual([0, false]);
    rig.clientEnds();
    expect(rig.observed()).toBe("client: close, over");
  });

  it("still gets queued bytes after its own end, through one of our agents", () => {
    const rig = join();
    rig.stream.room = 1;
    rig.clientSends("abc");
    rig.serviceEnds();
    rig.clientEnds();
    expect(rig.observed()).toBe("service: a, client: close 1000, client: close");
    expect(rig.isOver).toBe(false);
    rig.stream.makeRoom();
    expect(rig.observed()).toBe("service: bc, service: end, over");
  });

  it("whose client is gone releases everything when it resets", () => {
    const rig = join({ client: "Go" });
    rig.stream.room = 1;
    rig.clientSends("abc");
    rig.clientEnds();
    rig.observed();
    rig.serviceResets();
    expect(rig.observed()).toBe("over");
    expect(rig.node.budget.used).toBe(0);
  });
});

describe("a slow client", () => {
  it("gives the service window for as much as it has consumed", () => {
    const rig = join();
    rig.serviceSends("one");
    expect(rig.stream.consumed).toBe(3);
    rig.socket.out.flush();
    rig.socket.stalled = true;
    rig.serviceSends("two");
    rig.socket.out.flush();
    rig.serviceSends("three");
    rig.serviceSends("four");
    expect(rig.stream.consumed).toBe(6);
    rig.socket.drain();
    expect(rig.stream.consumed).toBe(15);
    rig.socket.drain();
    expect(rig.stream.consumed).toBe(15);
    expect(rig.observed()).toBe("client: one, client: two, client: threefour");
  });

  it("receives the service's end after all queued bytes", () => {
    const rig = join();
    rig.socket.stalled = true;
    rig.serviceSends("first");
    rig.socket.out.flush();
    rig.serviceSends("last");
    rig.serviceEnds();
    rig.socket.drain();
    expect(rig.observed()).toBe("client: first, client: last, client: close 1000");
  });

  it("that is a Go client and closes leaves no bytes unconsumed", () => {
    const rig = join({ client: "Go" });
    rig.socket.stalled = true;
    rig.serviceSends("one");
    rig.socket.out.flush();
    rig.serviceSends("two");
    expect(rig.stream.consumed).toBe(3);
    rig.clientEnds();
    rig.observed();
    expect(rig.stream.consumed).toBe(6);
  });

  it("isn't cut for sending to a closed service while it still has data to read", () => {
    const rig = join({ agent: "Go" });
    rig.socket.stalled = true;
    rig.serviceSends("last words");
    rig.serviceEnds();
    rig.observed();
    rig.node.clock.advance(60_000);
    rig.clientSends("up");
    expect(rig.observed()).toBe("");
    rig.socket.drain();
    rig.clientSends("up");
    expect(rig.observed()).toBe("client: reset, over");
  });
});

describe("the metrics of a connection", () => {
  it.each([
    ["reset", false],
    ["tunnel_lost", true],
  ])("have the reason %s if its service cut it", (reason, withTunnel) => {
    const rig = join();
    rig.stream.lostWithSession = withTunnel;
    rig.serviceResets();
    expect(rig.observed()).toMatch(/over$/);
    expect(rig.node.failures).toEqual({ [reason]: 1 });
  });

  it("have the bytes of both directions, once, and the duration", () => {
    const rig = join();
    rig.node.clock.advance(2_000);
    rig.clientSends("abc");
    rig.serviceSends("defg");
    rig.clientEnds();
    rig.serviceEnds();
    rig.observed();
    const { metrics } = rig.node;
    const [series] = [...metrics.series()];
    expect(series?.labels).toMatchObject({ status: "101", method: "GET" });
    const sums = [series?.latency, metrics.requestSize, metrics.responseSize].map((histogram) =>
      [...(histogram?.samples("x", {}) ?? [])].find(({ metricName }) => metricName === "x_sum"),
    );
    expect(sums.map((sample) => sample?.value)).toEqual([2, 3, 4]);
  });

  it("count it as one of its endpoint's requests while it lasts", () => {
    const rig = join({ limits: { maxRequestsPerEndpoint: 1 } });
    expect(rig.node.upstreams.find("e")?.requests).toBe(1);
  });
});

describe("a dial", () => {
  describe("for an endpoint that has just lost its upstreams", () => {
    const lost = (options?: TcpRigOptions): TcpRig => {
      const rig = new TcpRig(options);
      rig.node.upstreams.remove(rig.node.tunnel.asTunnel());
      rig.socket.send(rig.request());
      expect([rig.node.upstreams.waits.count, rig.socket.take()]).toEqual([1, ""]);
      return rig;
    };

    it("is joined to one that comes back to this node, with the data that its client sent meanwhile", () => {
      const rig = lost();
      keep(rig);
      rig.socket.send(frame(2, "early"));
      rig.node.clock.advance(1_000);
      rig.node.upstreams.add(rig.node.tunnel.asTunnel());
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 101 /);
      rig.clientSends("late");
      expect(rig.observed()).toBe("service: earlylate");
      expect(rig.node.context.upstreamMetrics.requests).toBe(1);
      rig.node.clock.advance(60_000);
      rig.clientEnds();
      rig.serviceEnds();
      expect(rig.observed()).toBe("service: end, client: close 1000, client: close, over");
    });

    it("is refused after the maximum wait", () => {
      const rig = lost();
      rig.node.clock.advance(rig.node.context.config.reconnectWaitMs + 250);
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*no available upstreams/s);
      rig.node.close();
    });

    it("is forgotten when its client disconnects", () => {
      const rig = lost();
      rig.node.close();
      rig.node.upstreams.add(rig.node.tunnel.asTunnel());
      expect([rig.node.asked, rig.node.statuses]).toEqual([0, { "499": 1 }]);
    });

    it("is refused if the one that comes back refuses it", () => {
      const rig = lost();
      rig.node.tunnel.refuses = true;
      rig.node.upstreams.add(rig.node.tunnel.asTunnel());
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*upstream unreachable/s);
      rig.node.close();
    });
  });

  it("is answered with 502 if the agent's tunnel refuses it", () => {
    const rig = new TcpRig();
    rig.node.tunnel.refuses = true;
    rig.socket.send(rig.request());
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*upstream unreachable/s);
    rig.node.close();
  });

  it.each([
    ["is sent to one of them", false, "", true],
    ["is sent on when another node has a better one", true, "", false],
    ["is sent no further if another node has sent it", true, "x-piko-forward: true\r\n", true],
  ])("for an endpoint whose tunnels are draining %s", (_title, elsewhere, fields, here) => {
    const cluster = {
      has: () => elsewhere,
      table: { select: () => undefined, nodes: () => [], hasEndpoint: () => false, isBack: () => false },
    };
    const rig = new TcpRig({ dependencies: { cluster: cluster as never } });
    rig.node.upstreams.drain(rig.node.tunnel.asTunnel());
    rig.socket.send(rig.request(fields));
    expect(rig.node.asked).toBe(here ? 1 : 0);
    expect(rig.socket.take().startsWith("HTTP/1.1 101 ")).toBe(here);
    rig.node.close();
    if (here) rig.serviceResets();
  });
});
