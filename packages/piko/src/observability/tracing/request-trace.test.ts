// What happens to a trace at one hop: which traces are continued, begun and recorded, what the next hop receives, and what the
// spans contain.

import { describe, expect, it } from "vitest";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { requestHeadCapacity, writeRequestHead } from "../../http/h1/rewrite-request-head.js";
import { HEAD_COMPLETE, RequestHead } from "../../http/head.js";
import { REASONS } from "../../http/reasons.js";
import { PLAIN_REQUEST } from "../../http/request-rewrite.js";
import { RequestId } from "../request-id.js";
import { NOBODY, ServedBy } from "../served-by.js";
import { RequestTrace, type TracedRequest } from "./request-trace.js";
import { type AttributeText, intAttribute, textAttribute } from "./span.js";
import { Tracer } from "./tracer.js";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const WALL_MS = Date.UTC(2026, 10, 23, 12);
const TRACE_PARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-0([01])$/;

interface Spanned {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: string } }[];
  status?: { code: number };
}

interface Setup {
  sample?: number;
  trustsClients?: boolean;
  upstream?: AttributeText;
  chances?: number[];
}

function setUp({ chances = [], sample = 1, trustsClients = false, upstream }: Setup = {}) {
  const spans: Spanned[] = [];
  let next = 1;
  const tracer = new Tracer({
    sample,
    trustsClients,
    upstream,
    sink: { add: (span) => spans.push(JSON.parse(span) as Spanned) },
    random: () => chances.shift() ?? 0.5,
    idRandom: () => next++ / 2 ** 32,
    wallNow: () => WALL_MS,
  });
  return { spans, trace: new RequestTrace(tracer) };
}

function headOf(fields: readonly string[] = [], line = "GET /a/b?token=secret"): RequestHead {
  const head = new RequestHead(40);
  const bytes = Buffer.from(
    [`${line} HTTP/1.1`, "Host: web.test:8000", ...fields, "", ""].join("\r\n"),
    "latin1",
  );
  expect(parseRequestHead(head, bytes, 0, bytes.length)).toBe(HEAD_COMPLETE);
  return head;
}

const client = { client: { secure: false }, senderOf: () => "192.0.2.7" };

const served: TracedRequest = {
  startMs: 1_000,
  endMs: 1_250.5,
  headMs: 20,
  status: 200,
  bytesIn: 3,
  bytesOut: 7,
  tries: 1,
  endpointId: "web",
  id: new RequestId(),
  servedBy: NOBODY,
  reason: undefined,
};

const attributesOf = ({ attributes }: Spanned): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]));

describe("a trace", () => {
  it("is continued with its state, and with our own span", () => {
    const { spans, trace } = setUp();
    const state = ["tracestate: rojo=1", "Tracestate: congo=t61"];
    trace.begin(headOf([`Traceparent: 00-${TRACE}-${PARENT}-01`, ...state]), true, client);
    const [, id, span, sampled] = TRACE_PARENT.exec(trace.traceParent.toString()) ?? [];
    expect([id, sampled]).toEqual([TRACE, "1"]);
    expect(span).not.toBe(PARENT);
    expect(trace.keepsTraceState).toBe(true);
    trace.end(served);
    expect(spans).toHaveLength(1);
    expect(spans[0]).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, spanId: span, kind: 2 });
    expect(spans[0]?.traceState).toBe("rojo=1,congo=t61");
  });

  it.each([
    ["none", []],
    ["two", [`traceparent: 00-${TRACE}-${PARENT}-01`, `traceparent: 00-${TRACE}-${PARENT}-01`]],
    ["a wrong one", [`traceparent: 00-${TRACE}-${"0".repeat(16)}-01`]],
    ["a very long one", [`traceparent: 00-${"f".repeat(8_000)}`]],
    ["an empty one", ["traceparent: "]],
  ])("begins if the head has %s, without the state of another", (_what, fields) => {
    const { spans, trace } = setUp();
    trace.begin(headOf([...fields, "tracestate: rojo=1"]), true, client);
    const [, id] = TRACE_PARENT.exec(trace.traceParent.toString()) ?? [];
    expect(id).toBeDefined();
    expect(id).not.toBe(TRACE);
    expect(trace.keepsTraceState).toBe(false);
    trace.end(served);
    expect(spans[0]?.traceId).toBe(id);
    expect(spans[0]).not.toHaveProperty("parentSpanId");
    expect(spans[0]).not.toHaveProperty("traceState");
  });

  it("drops a state that is invalid, and continues", () => {
    const { trace } = setUp();
    trace.begin(headOf([`traceparent: 00-${TRACE}-${PARENT}-00`, "tracestate: =;drop"]), true, client);
    expect(trace.keepsTraceState).toBe(false);
    expect(trace.traceId).toBe(TRACE);
  });

  it.each([
    ["recorded by a sender that is trusted", true, "01", 0, true],
    ["not recorded by a sender that is trusted", true, "00", 1, false],
    ["recorded by a sender that isn't trusted", false, "01", 0, false],
    ["not recorded by a sender that isn't trusted", false, "00", 1, true],
  ])("that is %s", (_what, trusted, flags, sample, recorded) => {
    const { spans, trace } = setUp({ sample });
    trace.begin(headOf([`traceparent: 00-${TRACE}-${PARENT}-${flags}`]), trusted, client);
    expect(trace.traceParent.toString().slice(-2)).toBe(recorded ? "01" : "00");
    trace.sent(served, 1_001);
    trace.end(served);
    expect(spans).toHaveLength(recorded ? 2 : 0);
    expect(trace.traceId).toBe(TRACE);
  });

  it.each([
    ["whose client hasn't recorded it", "-00", [], true],
    ["whose client hasn't recorded it, with a random id and a state", "-02", ["tracestate: rojo=1"], true],
    ["whose client has recorded it", "-01", [], false],
    ["with unknown flags", "-04", [], false],
    ["with an invalid state", "-00", ["tracestate: =;drop"], false],
    ["in a field that Connection names", "-00", ["Connection: traceparent"], false],
  ])("that isn't recorded here, %s: its parent is passed on, or replaced", (_what, end, more, passes) => {
    const { trace } = setUp({ sample: 0 });
    const sent = `00-${TRACE}-${PARENT}${end}`;
    const head = headOf([`TraceParent: ${sent}`, ...more]);
    trace.begin(head, false, client);
    expect(trace.passes).toBe(passes);
    expect(trace.traceId).toBe(TRACE);
    const rewrite = { ...PLAIN_REQUEST, trace };
    const out = Buffer.alloc(requestHeadCapacity(head, rewrite));
    const text = out.toString("latin1", 0, writeRequestHead(head, out, 0, rewrite));
    const [own, ...others] = [...text.matchAll(/^traceparent: (.*)\r$/gim)].map(([, value]) => value);
    expect(others).toEqual([]);
    if (passes) expect(own).toBe(sent);
    else expect(own).toMatch(new RegExp(`^00-${TRACE}-(?!${PARENT})[0-9a-f]{16}-00$`));
  });

  it("of a later version that isn't recorded continues in our version", () => {
    const { trace } = setUp({ sample: 0 });
    trace.begin(headOf([`traceparent: 01-${TRACE}-${PARENT}-00-more`]), false, client);
    expect(trace.passes).toBe(false);
    expect(trace.traceParent.toString()).toMatch(new RegExp(`^00-${TRACE}-(?!${PARENT})[0-9a-f]{16}-00$`));
  });

  it("that is passed on unchanged doesn't affect the next one", () => {
    const { spans, trace } = setUp();
    trace.begin(headOf([`traceparent: 00-${TRACE}-${PARENT}-00`]), true, client);
    expect(trace.passes).toBe(true);
    trace.begin(headOf(), true, client);
    expect(trace.passes).toBe(false);
    expect(trace.traceId).not.toBe(TRACE);
    trace.end(served);
    expect(spans).toHaveLength(1);
  });

  it("is recorded if its client's flag says so, where clients are trusted", () => {
    const { spans, trace } = setUp({ sample: 0, trustsClients: true });
    trace.begin(headOf([`traceparent: 00-${TRACE}-${PARENT}-01`]), false, client);
    trace.end(served);
    expect(spans).toHaveLength(1);
  });

  it("is sampled, and its flag shows the decision", () => {
    const { spans, trace } = setUp({ sample: 0.1, chances: [0.05, 0.1, 0.0999, 0.9] });
    const flags = [1, 2, 3, 4].map(() => {
      trace.begin(headOf(), false, client);
      trace.end(served);
      return trace.traceParent.toString().slice(-2);
    });
    expect(flags).toEqual(["01", "00", "01", "00"]);
    expect(spans).toHaveLength(2);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(2);
  });

  it.each([
    ["a valid", PARENT],
    ["an invalid", "0".repeat(16)],
  ])("has an id of its own if it isn't recorded, and nothing of the id in %s field before", (_what, span) => {
    const { trace } = setUp({ sample: 0.5, chances: [0.9, 0.9, 0.9, 0.9] });
    const idOf = (...fields: string[]): string => {
      trace.begin(headOf(fields), false, client);
      return trace.traceId;
    };
    const ids = [idOf(), idOf(), idOf(`traceparent: 00-${TRACE}-${span}-00`), idOf()];
    expect(ids.indexOf(TRACE)).toBe(span === PARENT ? 2 : -1);
    expect(new Set(ids).size).toBe(4);
    const halves = ids.filter((id) => id !== TRACE).flatMap((id) => [id.slice(0, 16), id.slice(16)]);
    expect(halves).not.toContain(TRACE.slice(0, 16));
    expect(halves).not.toContain(TRACE.slice(16));
  });

  it("has no half of an id that was used before if it is recorded", () => {
    const { spans, trace } = setUp({ sample: 0.5, chances: [0.9, 0.1, 0.9, 0.1] });
    for (let i = 0; i < 4; i++) {
      trace.begin(headOf(), false, client);
      trace.end(served);
    }
    const halves = spans.flatMap(({ traceId }) => [traceId.slice(0, 16), traceId.slice(16)]);
    expect(new Set(halves).size).toBe(4);
    expect(spans[0]?.spanId).not.toBe(spans[1]?.spanId);
  });

  it("has no spans if the request becomes something else", () => {
    const { spans, trace } = setUp();
    trace.begin(headOf(), false, client);
    trace.abandon();
    trace.end(served);
    expect(spans).toEqual([]);
  });
});

describe("the spans of a request", () => {
  const upstream = new ServedBy({ agent: "0123456789ab", "agent-addr": "192.0.2.9" });

  it("describe the request, its sender and its result", () => {
    const { spans, trace } = setUp();
    trace.begin(headOf(["User-Agent: curl/8", "X-Forwarded-Proto: https"]), false, client);
    const request = { ...served, servedBy: upstream };
    trace.sent(request, 1_002);
    const [, , sentAs] = TRACE_PARENT.exec(trace.traceParent.toString()) ?? [];
    trace.end(request);
    const [call, whole] = spans as [Spanned, Spanned];
    expect(call).toMatchObject({ kind: 3, name: "GET", spanId: sentAs, parentSpanId: whole.spanId });
    expect(call.startTimeUnixNano).toBe(`${WALL_MS + 2}000000`);
    expect(attributesOf(call)).toEqual({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "piko.agent": "0123456789ab",
      "piko.agent_addr": "192.0.2.9",
    });
    expect(whole).toMatchObject({ kind: 2, name: "GET", startTimeUnixNano: `${WALL_MS}000000` });
    expect(whole.endTimeUnixNano).toBe(`${WALL_MS + 250}500000`);
    expect(whole).not.toHaveProperty("status");
    expect(attributesOf(whole)).toEqual({
      "http.request.method": "GET",
      "url.scheme": "http",
      "url.path": "/a/b",
      "server.address": "web.test",
      "server.port": 8000,
      "client.address": "192.0.2.7",
      "network.protocol.version": "1.1",
      "user_agent.original": "curl/8",
      "http.response.status_code": 200,
      "http.request.body.size": 3,
      "http.response.body.size": 7,
      "piko.endpoint": "web",
      "piko.tries": 1,
    });
    expect(JSON.stringify(spans)).not.toContain("secret");
  });

  it("are one for each upstream, if the first ones failed", () => {
    const { spans, trace } = setUp();
    trace.begin(headOf(), false, client);
    trace.sent(served, 1_000);
    trace.lost(served, REASONS.connect_failed, 1_010);
    trace.sent({ ...served, tries: 2, servedBy: upstream }, 1_020);
    trace.end({ ...served, tries: 2, servedBy: upstream });
    const [first, second, whole] = spans as [Spanned, Spanned, Spanned];
    expect(first).toMatchObject({ status: { code: 2 }, endTimeUnixNano: `${WALL_MS + 10}000000` });
    expect(attributesOf(first)).toEqual({ "http.request.method": "GET", "error.type": "connect_failed" });
    expect(second).not.toHaveProperty("status");
    expect(attributesOf(second)).toMatchObject({
      "http.request.resend_count": 1,
      "piko.agent": "0123456789ab",
    });
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(3);
    expect([first.parentSpanId, second.parentSpanId]).toEqual([whole.spanId, whole.spanId]);
  });

  it.each([
    [
      "a request without upstream",
      { status: 502, headMs: -1, reason: REASONS.no_upstream },
      2,
      "no_upstream",
    ],
    [
      "a client that disconnected",
      { status: 499, headMs: -1, reason: REASONS.client_gone },
      undefined,
      "client_gone",
    ],
    ["a service that answers 500", { status: 500 }, 2, "500"],
    ["a service that answers 404", { status: 404 }, undefined, undefined],
    ["a response that was cut", { reason: REASONS.cut }, 2, "cut"],
  ])("report %s", (_what, how, code, type) => {
    const { spans, trace } = setUp();
    trace.begin(headOf(), false, client);
    trace.end({ ...served, ...how });
    expect(spans[0]?.status?.code).toBe(code);
    expect(attributesOf(spans[0] as Spanned)["error.type"]).toBe(type);
  });

  it("of an agent name its service, and the node that sent the request", () => {
    const { spans, trace } = setUp({
      upstream: textAttribute("server.address", "localhost") + intAttribute("server.port", 3000),
    });
    trace.begin(headOf(["X-Forwarded-Proto: https"]), true, client);
    const request = { ...served, servedBy: new ServedBy({ "node-id": "n1" }) };
    trace.sent(request, 1_000);
    trace.end(request);
    const [call, whole] = spans as [Spanned, Spanned];
    expect(attributesOf(call)).toMatchObject({ "server.address": "localhost", "server.port": 3000 });
    expect(attributesOf(whole)).toMatchObject({ "piko.node_id": "n1", "url.scheme": "https" });
  });

  it("limit what they take from clients", () => {
    const { spans, trace } = setUp();
    const fields = [`User-Agent: ${"\xff".repeat(9_000)}`, "X-Forwarded-Proto: gopher"];
    trace.begin(headOf(fields, `EVIL /${"p".repeat(9_000)}`), true, client);
    trace.end(served);
    const attributes = attributesOf(spans[0] as Spanned);
    expect(spans[0]?.name).toBe("HTTP");
    expect(attributes).toMatchObject({
      "http.request.method": "_OTHER",
      "http.request.method_original": "EVIL",
      "url.scheme": "http",
    });
    expect(String(attributes["url.path"])).toHaveLength(1_024);
    expect(String(attributes["user_agent.original"])).toHaveLength(1_024);
  });

  it.each([
    ["GET http://h", "/"],
    ["OPTIONS *", "*"],
  ])("of %s have a path", (line, path) => {
    const { spans, trace } = setUp();
    trace.begin(
      headOf(line.includes("://") ? ["X: y"] : [], line.replace("http://h", "http://web.test:8000")),
      false,
      client,
    );
    trace.end(served);
    expect(attributesOf(spans[0] as Spanned)["url.path"]).toBe(path);
  });
});
