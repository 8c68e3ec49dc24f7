import { afterEach, describe, expect, it } from "vitest";
import { jsonError, type TestTunnel } from "../test/test-server.js";
import { closeStages, exchange, isRefused, UpstreamStage } from "../test/upstream-stage.js";
import { STABLE_AFTER_MS } from "./backoff.js";
import { Upstream } from "./upstream.js";

afterEach(closeStages);

/** All ways in which a server ends a tunnel. */
const LOSSES: [name: string, lose: (tunnel: TestTunnel) => void][] = [
  ["FIN without a close", ({ socket }) => socket.close()],
  ["FIN within a frame", ({ socket }) => raw(socket, "827e")],
  ["TCP RST", ({ socket }) => socket.reset()],
  ["Close without a code", ({ socket }) => raw(socket, "8800")],
  ["Close 1000", ({ session }) => session.close()],
  ["Close 1001", ({ socket }) => raw(socket, "880203e9")],
  ["Close 1006, which is no code for the wire", ({ socket }) => raw(socket, "880203ee")],
  ["Close 1011", ({ socket }) => raw(socket, "880203f3")],
  ["Close 1012", ({ socket }) => raw(socket, "880203f4")],
  ["Close 4000", ({ socket }) => raw(socket, "88020fa0")],
  ["a text message", ({ socket }) => raw(socket, "810161", false)],
  ["a masked frame", ({ socket }) => raw(socket, "82810000000061", false)],
  ["reserved bits", ({ socket }) => raw(socket, "f20161", false)],
  ["GoAway(0) and FIN", ({ socket }) => raw(socket, "820c000300000000000000000000")],
  ["GoAway(1)", ({ socket }) => raw(socket, "820c000300000000000000000001", false)],
  ["GoAway(2) as our nodes evict", ({ session }) => session.evict()],
  ["GoAway(3)", ({ socket }) => raw(socket, "820c000300000000000000000003", false)],
  ["a yamux version other than 0", ({ socket }) => raw(socket, "820c010300000000000000000000", false)],
  ["a yamux type above 3", ({ socket }) => raw(socket, "820c000400000000000000000000", false)],
];

/** Writes bytes outside the framing, then FIN if `end`. */
function raw(socket: TestTunnel["socket"], hex: string, end = true): void {
  socket.socket.write(Buffer.from(hex, "hex"));
  if (end) socket.socket.end();
}

describe("Upstream", () => {
  it("connects, and serves streams", async () => {
    const stage = await UpstreamStage.connected({ token: "t", tenantId: "n" });
    const [request] = stage.server.requests;
    expect(request?.target).toBe("/piko/v1/upstream/e");
    expect(request?.headers.get("authorization")).toBe("Bearer t");
    expect(request?.headers.get("x-piko-tenant-id")).toBe("n");
    expect(request?.headers.get("x-piko-capabilities")).toBe("drain");
    expect(stage.upstream.connected).toBe(true);
    expect(stage.upstream.nodeId).toBe("node-1");
    expect(await exchange(await stage.tunnel(1), "hello").answer).toBe("hello");
    expect(stage.upstream.streamCount).toBe(1);
  });

  it("serves a stream that was opened in the same segment as the 101", async () => {
    const stage = await UpstreamStage.start();
    const answers: Promise<string>[] = [];
    stage.server.onTunnel = (tunnel) => answers.push(exchange(tunnel, "early").answer);
    await stage.upstream.start();
    expect(await answers[0]).toBe("early");
  });

  it.each(LOSSES)("reconnects after %s", async (_, lose) => {
    const stage = await UpstreamStage.connected();
    lose(await stage.tunnel(1));
    await stage.retry();
    await stage.event("connected");
    expect(await exchange(await stage.tunnel(2), "again").answer).toBe("again");
  });

  it("reconnects when the server stops answering pings", async () => {
    const stage = await UpstreamStage.connected();
    (await stage.tunnel(1)).socket.pause();
    stage.clock.advance(40_000);
    expect(await stage.event("disconnected")).toEqual(["disconnected PIKO_YAMUX_KEEPALIVE"]);
    (await stage.tunnel(1)).socket.resume();
    await stage.retry();
    await stage.event("connected");
  });

  it("waits longer each time for a server that accepts and disconnects", async () => {
    const stage = await UpstreamStage.start();
    stage.server.onTunnel = ({ socket }) => {
      socket.out.flush();
      socket.close();
    };
    await stage.upstream.start();
    const announced: string[] = [];
    for (let i = 0; i < 5; i++) {
      announced.push(...(await stage.event("reconnecting")).filter((each) => each.startsWith("re")));
      stage.clock.advance(20_000);
    }
    expect(announced).toEqual([50, 100, 200, 400, 800].map((delay, i) => `reconnecting ${delay} ${i + 1}`));
  });

  it("forgets earlier failures after a stable tunnel", async () => {
    const stage = await UpstreamStage.start();
    stage.server.answers.push("drop", "drop");
    const started = stage.upstream.start();
    await stage.retry();
    await stage.retry();
    await started;
    await stage.event("connected");
    stage.clock.advance(STABLE_AFTER_MS);
    (await stage.tunnel(1)).socket.reset();
    expect((await stage.event("reconnecting")).at(-1)).toBe("reconnecting 50 1");
  });

  it("retries indefinitely after a loss, with the maximum delay if it is refused permanently", async () => {
    const stage = await UpstreamStage.connected();
    stage.server.answers.push(
      jsonError(503, "busy"),
      jsonError(401, "expired token"),
      jsonError(404, "gone"),
      "drop",
    );
    (await stage.tunnel(1)).socket.reset();
    const delays: string[] = [];
    for (let i = 0; i < 5; i++) {
      delays.push((await stage.event("reconnecting")).at(-1) ?? "");
      stage.clock.advance(15_000);
    }
    await stage.event("connected");
    expect(delays).toEqual([
      "reconnecting 50 1",
      "reconnecting 100 2",
      "reconnecting 7500 3",
      "reconnecting 7500 4",
      "reconnecting 800 5",
    ]);
    expect(stage.logged.filter((line) => line.startsWith("error"))).toHaveLength(2);
  });

  it("reconnects to a server that was unavailable", async () => {
    const stage = await UpstreamStage.connected();
    const { port } = stage.server;
    stage.server.stopListening();
    (await stage.tunnel(1)).socket.reset();
    await stage.retry();
    expect((await stage.event("reconnecting")).at(-1)).toBe("reconnecting 100 2");
    await stage.server.listen(port);
    stage.clock.advance(15_000);
    await stage.event("connected");
  });

  describe("at the start", () => {
    it("retries temporary failures", async () => {
      const stage = await UpstreamStage.start();
      stage.server.answers.push("drop", jsonError(503, "busy"));
      const started = stage.upstream.start();
      await stage.retry();
      await stage.retry();
      await started;
      expect(stage.server.requests).toHaveLength(3);
      expect(stage.logged.filter((line) => line.startsWith("warn"))).toHaveLength(2);
    });

    it("rejects permanent failures", async () => {
      const stage = await UpstreamStage.start();
      stage.server.answers.push(jsonError(401, "invalid token"));
      await expect(stage.upstream.start()).rejects.toMatchObject({
        code: "PIKO_CLIENT_REFUSED",
        status: 401,
        message: "401: invalid token",
      });
      stage.clock.assertIdle();
    });

    it("rejects on timeout, with the last cause", async () => {
      const stage = await UpstreamStage.start({ connectTimeoutMs: 120 });
      stage.server.answers.push("drop", jsonError(503, "busy"));
      const started = stage.upstream.start();
      const settled = expect(started).rejects.toMatchObject({
        code: "PIKO_CLIENT_TIMEOUT",
        status: 503,
        message: expect.stringMatching(/^not connected after 0\.\d s: 503: busy$/),
      });
      await stage.retry();
      await settled;
      stage.clock.assertIdle();
    });

    it("stops on a signal and on close, whatever it waits for", async () => {
      const stop = new AbortController();
      const stage = await UpstreamStage.start();
      stage.server.answers.push("drop");
      const started = stage.upstream.start(stop.signal);
      const rejected = expect(started).rejects.toThrow("enough");
      await stage.event("reconnecting");
      stop.abort(new Error("enough"));
      await rejected;
      stage.clock.assertIdle();

      const other = new UpstreamStage(stage.server);
      stage.server.answers.push("drop");
      const closed = expect(other.upstream.start()).rejects.toMatchObject({ code: "PIKO_CLIENT_CLOSED" });
      await other.event("reconnecting");
      await other.upstream.close();
      await closed;
      other.clock.assertIdle();
    });

    it("checks its options immediately", () => {
      const handler = { onStream: () => undefined };
      for (const endpointId of ["", "a/b", "a b", ".."]) {
        expect(() => new Upstream({ url: "http://localhost", endpointId, handler })).toThrow("endpoint id");
      }
      expect(() => new Upstream({ url: "localhost", endpointId: "e", handler })).toThrow("url");
    });
  });

  describe("when the node drains", () => {
    it("opens a replacement first, and drains the old tunnel", async () => {
      const stage = await UpstreamStage.connected();
      const first = await stage.tunnel(1);
      const long = exchange(first, "long");
      await long.answer;
      stage.server.extra = "x-piko-node-id: node-2\r\n";
      first.session.goAway();
      await stage.retry();
      expect(await stage.event("connected")).toEqual(["connected node-2 true"]);
      expect(await exchange(await stage.tunnel(2), "new").answer).toBe("new");
      // The old tunnel accepts new streams until the nodes know the other one; then it only continues those that it has.
      const late = exchange(first, "late");
      expect(await late.answer).toBe("late");
      late.stream.end();
      await late.end;
      stage.clock.advance(1_000);
      await stage.server.until(() => first.receivedGoAway);
      const more = new Promise<string>((resolve) => {
        long.stream.handler = {
          ...long.stream.handler,
          onData: (b, s, e) => resolve(b.toString("latin1", s, e)),
        };
      });
      long.stream.write(Buffer.from("more"), 0, 4);
      expect(await more).toBe("more");
      long.stream.end();
      await long.end;
      await stage.server.until(() => first.closed);
      expect(first.error).toBeUndefined();
      expect(stage.events.filter((each) => each.startsWith("disconnected"))).toEqual([]);
    });

    it("keeps the old tunnel while there is no other", async () => {
      const stage = await UpstreamStage.connected();
      const first = await stage.tunnel(1);
      stage.server.answers.push(jsonError(503, "draining"), jsonError(503, "draining"));
      first.session.goAway();
      await stage.retry();
      await stage.retry();
      expect(await exchange(first, "still").answer).toBe("still");
      await stage.retry();
      expect((await stage.event("connected")).at(-1)).toBe("connected node-1 true");
    });

    it("connects once if the node closes before there is a replacement", async () => {
      const stage = await UpstreamStage.connected();
      const first = await stage.tunnel(1);
      first.session.goAway();
      await stage.event("reconnecting");
      first.session.close();
      await stage.event("disconnected");
      stage.clock.advance(100);
      expect(await stage.event("connected")).toEqual(["connected node-1 false"]);
      expect(stage.server.tunnels).toHaveLength(2);
    });

    it("doesn't rush from one draining node to the next", async () => {
      const stage = await UpstreamStage.start();
      stage.server.onTunnel = (tunnel) => tunnel.session.goAway();
      await stage.upstream.start();
      const delays: string[] = [];
      for (let i = 0; i < 4; i++) {
        delays.push((await stage.event("reconnecting")).at(-1) ?? "");
        stage.clock.advance(1_000);
      }
      expect(delays).toEqual([50, 100, 200, 400].map((delay, i) => `reconnecting ${delay} ${i + 1}`));
    });
  });

  describe("close", () => {
    it("sends GoAway, waits for streams in progress, and closes normally", async () => {
      const stage = await UpstreamStage.connected();
      const tunnel = await stage.tunnel(1);
      const exchanged = exchange(tunnel, "hello");
      await exchanged.answer;
      const closed = stage.upstream.close({ graceMs: 10_000 });
      await stage.server.until(() => tunnel.receivedGoAway);
      exchanged.stream.end();
      expect(await exchanged.end).toBe("end");
      await closed;
      await stage.server.until(() => tunnel.closed);
      expect(tunnel.error).toBeUndefined();
      expect(await stage.event("disconnected")).toContain("disconnected undefined");
      stage.clock.assertIdle();
      expect(stage.server.requests).toHaveLength(1);
    });

    it("refuses streams that the node opened before it knew, and only then closes, so that they can go elsewhere", async () => {
      const stage = await UpstreamStage.connected();
      const tunnel = await stage.tunnel(1);
      tunnel.socket.pause();
      const closed = stage.upstream.close({ graceMs: 10_000 });
      // On a long path the GoAway takes time; without the wait, the agent would have closed the tunnel by now.
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => void setImmediate(resolve));
      const refused = isRefused(tunnel);
      tunnel.socket.resume();
      expect(await refused).toBe(true);
      await closed;
      await stage.server.until(() => tunnel.closed);
      expect(tunnel.error).toBeUndefined();
    });

    it("cuts streams when the grace period ends, or a later call shortens it", async () => {
      for (const hurry of [true, false]) {
        const stage = await UpstreamStage.connected();
        const tunnel = await stage.tunnel(1);
        const exchanged = exchange(tunnel, "hello");
        await exchanged.answer;
        const closed = stage.upstream.close({ graceMs: 1_000 });
        if (hurry) void stage.upstream.close();
        else stage.clock.advance(1_000);
        await closed;
        expect(await exchanged.end).toBe("reset");
        stage.clock.assertIdle();
      }
    });

    it("is idempotent, and ends a wait for the next attempt", async () => {
      const stage = await UpstreamStage.connected();
      (await stage.tunnel(1)).socket.reset();
      await stage.event("reconnecting");
      await Promise.all([stage.upstream.close(), stage.upstream.close({ graceMs: 5 })]);
      await stage.upstream.close();
      stage.clock.assertIdle();
    });
  });
});
