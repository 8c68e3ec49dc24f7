// Requests that wait for another node to become reachable: when they retry, how often, and when they give up.

import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import type { Exchange } from "../../http/exchange/exchange.js";
import { RequestHead, ResponseHead } from "../../http/head.js";
import { ByteBudget } from "../../net/byte-budget.js";
import { SWEEP_INTERVAL_MS } from "../../net/deadline-sweep.js";
import type { NodeClient } from "./node-client.js";
import type { ProxyContext } from "./proxy-context.js";
import { ClusterTable, type RemoteNode } from "../cluster/cluster-table.js";
import { ReconnectWaits } from "../upstream/reconnect-waits.js";
import { Upstreams } from "../upstream/upstreams.js";
import { NodeDispatch } from "./node-dispatch.js";

const WAIT_MS = 5_000;

function setUp(...ids: string[]) {
  const clock = new FakeClock();
  const table = new ClusterTable(() => 0);
  for (const id of ids) {
    table.join(id);
    table.setAddress(id, "proxyAddr", `${id}:1`);
    table.setAddress(id, "adminAddr", `${id}:2`);
    table.setListeners(id, "e", 1);
  }
  /** The nodes that requests were sent to, with the time. */
  const tried: string[] = [];
  const upstreams = new Upstreams(
    new ReconnectWaits(clock, WAIT_MS, 100),
    () => {},
    () => 0,
  );
  const context = {
    clock,
    upstreams,
    cluster: { table },
    hops: { poolFor: (node: RemoteNode) => tried.push(`${node.id} ${clock.now()}`) },
    upstreamMetrics: { requests: 0, retries: 0, waited: { found: 0, expired: 0, left: 0 } },
    files: { wouldBeExhausted: () => false },
    responses: { head: new ResponseHead(10), maxHeadBytes: 1_000, budget: new ByteBudget(1_000) },
  } as unknown as ProxyContext;
  const request = (method = "GET") => {
    const replies: number[] = [];
    let sent = false;
    const exchange = {
      record: {},
      start: () => (sent = true),
      reply: (_reason: unknown, status: number) => replies.push(status),
    } as unknown as Exchange;
    const dispatch = new NodeDispatch(exchange, {} as NodeClient, context);
    Object.assign(dispatch.target, { endpointId: "e", method });
    dispatch.begin();
    dispatch.connect(new RequestHead(10));
    return {
      dispatch,
      replies,
      /** The node that it was sent to can't be reached, or has no upstream for it. */
      lose: (why: "unreachable" | "rerouted") => {
        sent = false;
        if (why === "unreachable") table.onFailure(table.get(idOf(tried)) as RemoteNode, clock.now());
        return dispatch.retry("no");
      },
      get sent() {
        return sent;
      },
    };
  };
  /** Advances the clock with the sweeps of a node. */
  const pass = (ms: number, ...requests: ReturnType<typeof request>[]): void => {
    for (let left = ms; left > 0; left -= SWEEP_INTERVAL_MS) {
      clock.advance(Math.min(left, SWEEP_INTERVAL_MS));
      for (const { dispatch } of requests) dispatch.sweep(clock.now());
    }
  };
  return { clock, pass, request, table, tried, upstreams };
}

/** The node that was tried last. */
function idOf(tried: readonly string[]): string {
  return tried.at(-1)?.split(" ")[0] ?? "";
}

describe("a request whose only node can't be reached", () => {
  it("retries when the node is no longer left out", () => {
    const { pass, request, tried } = setUp("a");
    const one = request();
    expect(one.lose("unreachable")).toBe(true);
    expect(one.dispatch.waiting).toBe(true);
    pass(499, one);
    expect(tried).toEqual(["a 0"]);
    pass(1, one);
    expect(tried).toEqual(["a 0", "a 500"]);
    expect([one.sent, one.dispatch.waiting]).toEqual([true, false]);
  });

  it("retries when another request gets through", () => {
    const { clock, pass, request, table, tried } = setUp("a");
    const one = request();
    one.lose("unreachable");
    pass(500, one);
    one.lose("unreachable");
    pass(SWEEP_INTERVAL_MS, one);
    expect(one.dispatch.waiting).toBe(true);
    table.onSuccess(table.get("a") as RemoteNode);
    const now = clock.now();
    pass(SWEEP_INTERVAL_MS, one);
    expect(tried.at(-1)).toBe(`a ${now + SWEEP_INTERVAL_MS}`);
  });

  it("retries with growing pauses, and gives up after the maximum wait", () => {
    const { pass, request, tried, upstreams } = setUp("a");
    const one = request();
    one.lose("unreachable");
    for (let i = 0; i < 40 && one.replies.length === 0; i++) {
      pass(SWEEP_INTERVAL_MS, one);
      if (one.sent) one.lose("unreachable");
    }
    expect(tried).toEqual(["a 0", "a 500", "a 1500", "a 3500"]);
    expect(one.replies).toEqual([502]);
    expect(upstreams.waits.count).toBe(0);
  });

  it("isn't delayed further by many others that fail with it", () => {
    const { pass, request, tried } = setUp("a");
    const all = Array.from({ length: 20 }, () => request());
    for (const one of all) one.lose("unreachable");
    pass(500, ...all);
    expect(tried.slice(20)).toEqual(Array.from({ length: 20 }, () => "a 500"));
  });

  it("is forgotten when its client disconnects", () => {
    const { pass, request, tried, upstreams } = setUp("a");
    const one = request();
    one.lose("unreachable");
    one.dispatch.clear();
    pass(WAIT_MS, one);
    expect(tried).toEqual(["a 0"]);
    expect(upstreams.waits.count).toBe(0);
  });

  it("fails if it may have been acted on", () => {
    const { request } = setUp("a");
    const { dispatch } = request("POST");
    expect(dispatch.retry("maybe")).toBe(false);
  });
});

describe("a request that has used up its tries on several nodes", () => {
  it("waits like one with a single node, and tries the first node that comes back", () => {
    const { pass, request, table, tried } = setUp("a", "b");
    const one = request();
    for (let i = 0; i < 3; i++) expect(one.lose("unreachable")).toBe(true);
    expect(one.dispatch.waiting).toBe(true);
    expect(tried.map((each) => each.split(" ")[0])).toEqual(["a", "b", "a"]);
    table.onSuccess(table.get("b") as RemoteNode);
    pass(SWEEP_INTERVAL_MS, one);
    expect(tried.at(-1)).toBe(`b ${SWEEP_INTERVAL_MS}`);
  });
});

describe("a request that was sent back by its only node", () => {
  it("waits until that node announces the endpoint, and doesn't retry before", () => {
    const { pass, request, tried, upstreams } = setUp("a");
    const one = request();
    expect(one.lose("rerouted")).toBe(true);
    pass(1_000, one);
    expect(tried).toEqual(["a 0"]);
    upstreams.waits.onFound("e");
    expect(tried).toEqual(["a 0", "a 1000"]);
  });

  it("isn't sent to it again when another node is no longer left out", () => {
    const { pass, request, table, tried } = setUp("a", "b");
    table.onFailure(table.get("b") as RemoteNode, 0);
    const one = request();
    expect(tried).toEqual(["a 0"]);
    one.lose("rerouted");
    one.lose("unreachable");
    one.lose("rerouted");
    // A try that no upstream has seen isn't counted.
    one.lose("unreachable");
    one.lose("rerouted");
    one.lose("unreachable");
    expect(tried.map((each) => each.split(" ")[0])).toEqual(["a", "b", "a", "b", "a", "b"]);
    pass(500, one);
    expect(tried.at(-1)).toBe("b 500");
  });
});
