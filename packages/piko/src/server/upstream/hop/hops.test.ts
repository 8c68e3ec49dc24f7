// Connections to other nodes: one pool for each node, counted requests, and what happens when a node fails or leaves.

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { FakeClock } from "@piko/testkit";
import { afterEach, expect, it } from "vitest";
import { REASONS } from "../../../http/reasons.js";
import type { UpstreamEvents } from "../../../http/exchange/upstream-call.js";
import { ResponseHead } from "../../../http/head.js";
import { PLAIN_REQUEST } from "../../../http/request-rewrite.js";
import { ByteBudget } from "../../../net/byte-budget.js";
import { ClusterTable, RemoteNode } from "../../cluster/cluster-table.js";
import { eventually } from "../../../../test/port-peer.js";
import { requestHead } from "../../../../test/memory-heads.js";
import { HopCall } from "./hop-call.js";
import { Hops } from "./hops.js";

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A node whose proxy port accepts connections, and answers requests that begin with `GET /now`. */
async function startNode(id: string): Promise<RemoteNode> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      if (bytes.toString("latin1").startsWith("GET /now")) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUps.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const node = new RemoteNode(id);
  node.proxyAddr = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return node;
}

function setUp() {
  const hops = new Hops(new ClusterTable(() => 0), new FakeClock());
  cleanUps.push(() => hops.close());
  /** Sends a request to a node; records the events of the call as words. */
  const ask = (node: RemoteNode, path: string) => {
    const recorded: string[] = [];
    const events: UpstreamEvents = {
      onInform() {},
      onSwitch: () => false,
      onResponse: (head) => void recorded.push(String(head.status)),
      onResponseBody() {},
      onResponseEnd() {},
      onUpstreamTurn() {},
      onUpstreamWritable() {},
      sweep() {},
      onLost: (why, seen) => void recorded.push(`${why.code} ${seen}`),
    };
    const budget = new ByteBudget(1_000);
    const call = new HopCall(events, { head: new ResponseHead(10), maxHeadBytes: 1_000, budget });
    call.open(hops.poolFor(node), true);
    call.send(requestHead(`GET ${path} HTTP/1.1\r\nHost: e.test`), PLAIN_REQUEST, true);
    cleanUps.push(() => call.abort(REASONS.client_gone));
    return { call, recorded };
  };
  /** The same, and releases the connection after the response. */
  const request = async (node: RemoteNode): Promise<void> => {
    const { call, recorded } = ask(node, "/now");
    await eventually(() => recorded.length > 0);
    expect(recorded).toEqual(["200"]);
    call.release();
  };
  return { ask, hops, request };
}

it("each node has its own pool, and its requests are counted", async () => {
  const { hops, request } = setUp();
  const [a, b] = [await startNode("a"), await startNode("b")];
  await request(a);
  await request(a);
  await request(b);
  expect([...hops.requests]).toEqual([
    ["a", 2],
    ["b", 1],
  ]);
  const [ofA, ofB] = [hops.poolFor(a), hops.poolFor(b)];
  expect(ofA).not.toBe(ofB);
  expect([ofA.idleCount, ofB.idleCount, hops.poolFor(a)]).toEqual([1, 1, ofA]);
});

it("a node that can't be reached loses its idle connections, but no request", async () => {
  const { ask, hops, request } = setUp();
  const [a, b, never] = [await startNode("a"), await startNode("b"), await startNode("never asked")];
  await request(a);
  await request(b);
  const { recorded } = ask(a, "/later");
  await request(a);
  hops.onUnreachable(never);
  hops.onUnreachable(a);
  expect([recorded, hops.poolFor(a).idleCount, hops.poolFor(b).idleCount]).toEqual([[], 0, 1]);
});

it("a node that is gone permanently is forgotten, and its requests are counted from 0 if it returns", async () => {
  const { hops, request } = setUp();
  const node = await startNode("a");
  await request(node);
  const pool = hops.poolFor(node);
  hops.forget(node);
  hops.forget(node);
  expect([hops.requests.size, pool.idleCount]).toEqual([0, 0]);
  expect(hops.poolFor(node)).not.toBe(pool);
  expect(hops.requests.get("a")).toBe(1);
});

it("close() closes idle connections, but cuts no request", async () => {
  const { ask, hops, request } = setUp();
  const node = await startNode("a");
  await request(node);
  await request(node);
  const underWay = ask(node, "/later");
  hops.close();
  expect(hops.poolFor(node).idleCount).toBe(0);
  expect(underWay.recorded).toEqual([]);
});
