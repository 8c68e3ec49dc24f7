// A listener with tunnels to several nodes, behind a load balancer that the test simulates: it chooses the node of each attempt.

import { afterEach, describe, expect, it, vi } from "vitest";
import { jsonError, type TestTunnel } from "../test/test-server.js";
import { closeStages, exchange, UpstreamStage } from "../test/upstream-stage.js";
import { Upstream } from "./upstream.js";
import type { UpstreamOptions } from "./upstream-options.js";

afterEach(closeStages);

/** Starts an upstream with a tunnel to each of these nodes. */
async function at(nodes: string[], options: Partial<UpstreamOptions> = {}): Promise<UpstreamStage> {
  const stage = await UpstreamStage.start({ tunnels: 2, ...options });
  const [first = "", ...others] = nodes;
  stage.server.becomeNode(first);
  await stage.upstream.start();
  await stage.event("changed");
  for (const node of others) {
    await stage.attempt(node);
    await stage.event("changed");
  }
  expect(stage.upstream.tunnels.nodeIds).toEqual(nodes);
  return stage;
}

function repeats(stage: UpstreamStage): boolean[] {
  return stage.server.requests.map(({ headers }) => headers.get("x-piko-instance-repeat") === "true");
}

/** The tunnel to a node. */
function tunnelAt(stage: UpstreamStage, nodeId: string): TestTunnel {
  const found = stage.server.tunnels.findLast((each) => each.nodeId === nodeId && !each.closed);
  if (found === undefined) throw new Error(`no tunnel at ${nodeId}`);
  return found;
}

/** Checks that no search for another node was logged since the last attempt. */
function expectNoSearch(stage: UpstreamStage): void {
  expect(stage.logged).not.toContain("debug: looking for another node");
}

describe("Upstream with several tunnels", () => {
  it("opens them to distinct nodes, all under its own instance name", async () => {
    const stage = await at(["a", "b", "c"], { tunnels: 3 });
    expect(repeats(stage)).toEqual([false, false, false]);
    const names = stage.server.requests.map(({ headers }) => headers.get("x-piko-instance"));
    expect(new Set(names).size).toBe(1);
    expect(names[0]).toMatch(/^[\x21-\x7e]{16,64}$/);
    const other = new UpstreamStage(stage.server);
    await other.upstream.start();
    expect(stage.server.requests.at(-1)?.headers.get("x-piko-instance")).not.toBe(names[0]);
    expect(stage.upstream.tunnels).toEqual({ open: 3, wanted: 3, nodeIds: ["a", "b", "c"] });
    expectNoSearch(stage);
    for (const node of ["a", "b", "c"]) {
      expect(await exchange(tunnelAt(stage, node), node).answer).toBe(node);
    }
  });

  it("tries a few times to find another node than the one it has, then rarely", async () => {
    const stage = await at(["a"]);
    const delays: number[] = [];
    for (let tries = 1; tries <= 10; tries++) {
      await stage.attempt("a");
      delays.push(stage.searchDelayMs);
    }
    expect(delays).toEqual([50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000, 1_000]);
    expect(stage.server.tunnels).toHaveLength(1);
    await stage.attempt("a");
    expect(stage.searchDelayMs).toBe(30_000);
    await stage.attempt("b");
    await stage.event("changed");
    expect(stage.upstream.tunnels.nodeIds).toEqual(["a", "b"]);
    expect(stage.events.filter((each) => each.startsWith("reconnecting"))).toEqual([]);
    expect(new Set(stage.logged)).toEqual(new Set(["info: connected to server"]));
  });

  it("keeps a connection to the same node open for a while, so that a balancer that counts connections chooses another node", async () => {
    const stage = await at(["a"]);
    for (let tries = 1; tries <= 3; tries++) await stage.attempt("a");
    expect(stage.searchDelayMs).toBe(200);
    expect(stage.server.connectionCount).toBe(4);
    stage.clock.advance(5_000);
    await vi.waitFor(() => expect(stage.server.connectionCount).toBeLessThan(4));
    await stage.upstream.close();
    await vi.waitFor(() => expect(stage.server.connectionCount).toBe(0));
  });

  it("looks again when its node announces a new node", async () => {
    const stage = await at(["a"]);
    for (let tries = 1; tries <= 10; tries++) await stage.attempt("a");
    await stage.logs("debug: looking");
    expect(stage.searchDelayMs).toBe(30_000);
    tunnelAt(stage, "a").session.tellOfNode();
    await stage.attempt("b");
    // At a random time within five seconds, so that not all listeners try at once.
    expect(stage.searchDelayMs).toBe(2_500);
    await stage.event("changed 2 of 2");
    // A listener that lacks no tunnel ignores the news.
    tunnelAt(stage, "a").session.tellOfNode();
    expect(await exchange(tunnelAt(stage, "a"), "on").answer).toBe("on");
    expectNoSearch(stage);
  });

  it("continues to serve on the others when one is lost, and looks for another at once", async () => {
    const stage = await at(["a", "b"]);
    tunnelAt(stage, "a").socket.reset();
    expect(await stage.event("changed")).toEqual(["changed 1 of 2 tunnels, node b"]);
    expect(stage.upstream.connected).toBe(true);
    expect(await exchange(tunnelAt(stage, "b"), "on").answer).toBe("on");
    await stage.attempt("b");
    await stage.attempt("c");
    expect(await stage.event("changed")).toEqual([
      "stream",
      "connected c false",
      "changed 2 of 2 tunnels, nodes b, c",
    ]);
    expect(repeats(stage)).toEqual([false, false, false, false]);
  });

  it("replaces a tunnel that only its node still has", async () => {
    const stage = await at(["a", "b"]);
    // The node doesn't notice the end: its half stays open.
    const lost = tunnelAt(stage, "a");
    lost.socket.pause();
    lost.socket.socket.write(Buffer.from("810161", "hex"));
    await stage.event("changed 1 of 2");
    await stage.attempt("a");
    await stage.attempt("a");
    await stage.event("connected a false");
    expect(repeats(stage).slice(2)).toEqual([false, true]);
    expect(stage.server.tunnels.filter((each) => each.nodeId === "a")).toHaveLength(2);
    lost.socket.resume();
  });

  it("announces the replacement at once if it has no other tunnel", async () => {
    const stage = await at(["a", "b"]);
    for (const node of ["a", "b"]) tunnelAt(stage, node).socket.reset();
    await stage.event("disconnected");
    await stage.attempt("a");
    await stage.event("connected a false");
    expect(repeats(stage).slice(2)).toEqual([true]);
  });

  it("moves one tunnel at a time when its node drains, to a node without one", async () => {
    const stage = await at(["a", "b"]);
    const first = tunnelAt(stage, "a");
    const { answer, stream } = exchange(first, "under way");
    await answer;
    first.session.goAway();
    await stage.logs("info: server is draining; moving to another node");
    await stage.attempt("b");
    await stage.attempt("a");
    expect(stage.server.tunnels).toHaveLength(2);
    await stage.attempt("c");
    expect(await stage.event("changed")).toEqual([
      "stream",
      "connected c true",
      "changed 2 of 2 tunnels, nodes b, c",
    ]);
    stage.clock.advance(1_000);
    await stage.server.until(() => first.receivedGoAway);
    expect(first.closed).toBe(false);
    stream.end();
    await stage.server.until(() => first.closed);
    expect(repeats(stage)).toEqual([false, false, false, false, false]);
  });

  it("keeps a tunnel whose node drains while there is no other node, and looks again when the node has closed it", async () => {
    const stage = await at(["a", "b"]);
    tunnelAt(stage, "a").session.goAway();
    await stage.logs("info: server is draining; moving to another node");
    for (let tries = 1; tries <= 10; tries++) await stage.attempt(tries % 2 === 0 ? "a" : "b");
    expect(stage.upstream.tunnels.nodeIds).toEqual(["a", "b"]);
    tunnelAt(stage, "a").session.close();
    await stage.event("changed 1 of 2");
    await stage.attempt("c");
    await stage.event("changed 2 of 2");
  });

  it("opens each again when its token has changed, one after the other", async () => {
    let token = "one";
    const stage = await at(["a", "b"], { token: () => token });
    const olds = stage.server.tunnels.slice();
    token = "two";
    stage.server.becomeNode("a");
    stage.upstream.renewToken();
    await stage.event("connected a true");
    expect(olds.map(({ receivedGoAway }) => receivedGoAway)).toEqual([false, false]);
    await stage.attempt("a");
    await stage.attempt("b");
    await stage.attempt("b");
    await stage.event("connected b true");
    expect(repeats(stage).slice(2)).toEqual([true, false, false, true]);
    stage.clock.advance(1_000);
    for (const old of olds) await stage.server.until(() => old.closed);
    expect(stage.upstream.tunnels.nodeIds).toEqual(["a", "b"]);
    expectNoSearch(stage);
  });

  it("gives up a tunnel with an old token if the balancer never leads to its node", async () => {
    let token = "one";
    const stage = await at(["a", "b"], { token: () => token });
    const old = tunnelAt(stage, "b");
    token = "two";
    stage.server.becomeNode("a");
    stage.upstream.renewToken();
    await stage.event("connected a true");
    for (let tries = 1; tries <= 10; tries++) await stage.attempt("a");
    await stage.logs("debug: looking");
    stage.clock.advance(1_000);
    await stage.server.until(() => old.closed);
    expect(stage.upstream.tunnels.nodeIds).toEqual(["a"]);
  });

  it("isn't sent in circles by a token that is different each time", async () => {
    let count = 0;
    const stage = await at(["a", "b"], { token: () => `${++count}` });
    expectNoSearch(stage);
    expect(stage.server.requests).toHaveLength(2);
  });

  it("keeps its tunnels while another attempt fails, and only logs that", async () => {
    const stage = await at(["a"]);
    stage.server.answers.push(jsonError(503, "busy"), jsonError(401, "invalid token"), "drop");
    for (let tries = 0; tries < 3; tries++) {
      await stage.attempt("a");
      await stage.logs("warn: failed to open another tunnel");
    }
    await stage.attempt("b");
    await stage.event("changed 2 of 2");
    expect(stage.events).toEqual([]);
  });

  describe("beside Go nodes", () => {
    it("needs only one tunnel to such a node", async () => {
      const stage = await UpstreamStage.start({ tunnels: 2 }, "");
      await stage.upstream.start();
      expectNoSearch(stage);
      expect(stage.upstream.tunnels).toEqual({ open: 1, wanted: 2, nodeIds: [undefined] });
    });

    it("closes a surplus one with only a FIN, and serves streams that arrive until then", async () => {
      let token = "one";
      const stage = await at(["a"], { token: () => token });
      stage.server.becomeGoNode();
      await stage.attempt();
      await stage.event("changed 2 of 2");
      expectNoSearch(stage);
      // Both tunnels are outdated. A second new tunnel to the Go node is surplus: it can't replace the one to node a.
      token = "two";
      stage.upstream.renewToken();
      await stage.event("connected undefined true");
      const answers: Promise<string>[] = [];
      stage.server.onTunnel = (tunnel) => answers.push(exchange(tunnel, "early").answer);
      await stage.attempt();
      const surplus = await stage.tunnel(4);
      expect(await answers[0]).toBe("early");
      stage.streams.at(-1)?.reset();
      await stage.server.until(() => surplus.closed);
      expect(surplus.receivedGoAway).toBe(false);
      expect(surplus.error?.code).toBe("PIKO_TUNNEL_EOF");
    });
  });

  it("ends all of them when it is closed, and stops looking", async () => {
    const stage = await at(["a", "b"], { tunnels: 3 });
    await stage.upstream.close();
    await stage.server.until(() => stage.server.tunnels.every(({ closed }) => closed));
    stage.clock.assertIdle();
  });

  it.each([0, 9, 1.5, Number.NaN])("rejects %d tunnels", (tunnels) => {
    const handler = { onStream: () => undefined };
    const upstream = (): Upstream =>
      new Upstream({ url: "http://localhost", endpointId: "e", tunnels, handler });
    expect(upstream).toThrow("is not a whole number of 1 to 8");
  });
});
