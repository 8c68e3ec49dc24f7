// Calls on HTTP/2 connections to a service, in memory: their objects serve one request after another, and never two at once.

import { FakeClock } from "@piko/testkit";
import { expect, it } from "vitest";
import { data, frame, headers } from "../../test/h2-peer.js";
import { MemorySocket } from "../../test/memory-socket.js";
import type { UpstreamEvents } from "../http/exchange/upstream-call.js";
import { parseRequestHead } from "../http/h1/parse-request-head.js";
import { RequestHead } from "../http/head.js";
import { REASONS } from "../http/reasons.js";
import { PLAIN_REQUEST } from "../http/request-rewrite.js";
import { ByteBudget } from "../net/byte-budget.js";
import type { ServiceConnector } from "./connect-service.js";
import type { H2Call } from "./h2-call.js";
import { H2ServicePool } from "./h2-pool.js";

const REQUEST = Buffer.from("GET /x HTTP/1.1\r\nHost: e.test\r\n\r\n", "latin1");

function setUp() {
  const clock = new FakeClock();
  const sockets: MemorySocket[] = [];
  const open = (handler: MemorySocket["handler"]): unknown => {
    const socket = new MemorySocket();
    socket.handler = handler;
    sockets.push(socket);
    return socket;
  };
  const pool = new H2ServicePool({
    connector: { open } as unknown as ServiceConnector,
    secure: false,
    timeoutMs: 10_000,
    maxConcurrentStreams: 100,
    maxIdle: 10,
    idleTimeoutMs: 90_000,
    pingIntervalMs: 330_000,
    maxResponseHeadBytes: 65_536,
    budget: new ByteBudget(1_000_000),
    clock,
  });
  const begin = (events: Partial<UpstreamEvents>): H2Call => {
    const nothing = (): void => {};
    const call = pool.take({
      onInform: nothing,
      onSwitch: () => false,
      onResponse: nothing,
      onResponseBody: (_buffer, start, end) => call.consume(end - start),
      onResponseEnd: () => call.release(),
      onUpstreamTurn: nothing,
      onUpstreamWritable: nothing,
      onLost: nothing,
      sweep: nothing,
      ...events,
    });
    const head = new RequestHead(100);
    parseRequestHead(head, REQUEST, 0, REQUEST.length);
    call.send(head, PLAIN_REQUEST, true);
    return call;
  };
  const send = (...frames: string[]): void => sockets[0]?.send(frames.join(""));
  return { begin, pool, send, sockets };
}

it("a call that ends while a read is reported to it is reused only once", () => {
  const { begin, send } = setUp();
  const gone = begin({ onUpstreamTurn: () => gone.abort(REASONS.client_gone) });
  send(frame(4, 0, 0), headers(1, [[":status", "200"]], false));
  const [one, other] = [begin({}), begin({})];
  expect(one).toBe(gone);
  expect(other).not.toBe(one);
});

it("a call that ends within a read is reused after it, and only once", () => {
  const { begin, send } = setUp();
  const done = begin({});
  send(frame(4, 0, 0), headers(1, [[":status", "200"]], false), data(1, "x", true));
  const [one, other] = [begin({}), begin({})];
  expect(one).toBe(done);
  expect(other).not.toBe(one);
});

it("a call's turn ends before another call gets events of the same read, because they share memory", () => {
  const { begin, send } = setUp();
  const recorded: string[] = [];
  for (const name of ["a", "b"]) {
    begin({
      onResponse: () => void recorded.push(`${name} head`),
      onResponseBody: () => void recorded.push(`${name} body`),
      onUpstreamTurn: () => void recorded.push(`${name} turn`),
    });
  }
  const head = (id: number): string => headers(id, [[":status", "200"]], false);
  send(frame(4, 0, 0), head(1), data(1, "x", false), head(3), data(1, "x", false), data(3, "y", false));
  expect(recorded).toEqual([
    "a head",
    "a body",
    "a turn",
    "b head",
    "b turn",
    "a body",
    "a turn",
    "b body",
    "b turn",
  ]);
});
