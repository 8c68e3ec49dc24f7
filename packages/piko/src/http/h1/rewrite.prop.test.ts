// The output of the rewriters is parsed again: same request, same framing, and nothing that belongs to the previous hop.

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  FIELD_STRIDE,
  HEAD_COMPLETE,
  type MessageHead,
  NAME_END,
  RequestHead,
  ResponseHead,
  VALUE_END,
  VALUE_START,
} from "../head.js";
import { parseRequestHead } from "./parse-request-head.js";
import { parseResponseHead } from "./parse-response-head.js";
import { requestHeadCapacity, writeRequestHead } from "./rewrite-request-head.js";
import { responseHeadCapacity, writeResponseHead } from "./rewrite-response-head.js";

const TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const HOP_BY_HOP = [
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "http2-settings",
];

const caseOf = (name: string): fc.Arbitrary<string> =>
  fc.constantFrom(name, name.toUpperCase(), name.toLowerCase());

const plainLine = fc
  .tuple(
    fc.constantFrom("A", "X-Hop", "Cookie", "Accept", "Trailer").chain(caseOf),
    fc.constantFrom("", "v", "a, b", "\xff"),
  )
  .map(([name, value]) => `${name}: ${value}`);

const hopLine = fc
  .tuple(
    fc
      .constantFrom(
        ...HOP_BY_HOP,
        "te",
        "x-piko-forward",
        "x-piko-hop-capabilities",
        "x-forwarded-for",
        "x-forwarded-proto",
      )
      .chain(caseOf),
    fc.constantFrom("trailers", "x", "1, 2", ""),
  )
  .map(([name, value]) => `${name}:${value}`);

const connectionLine = fc
  .subarray(["close", "Keep-Alive", "upgrade", "X-Hop", "te", "a", ""])
  .map((options) => `Connection: ${options.join(" ,")}`);

const framingLine = fc.constantFrom("Content-Length: 7", "transfer-encoding: Chunked", "A: b");

const fields = fc
  .tuple(fc.array(fc.oneof(plainLine, hopLine, connectionLine), { maxLength: 12 }), framingLine, fc.boolean())
  .chain(([lines, framing, upgrade]) =>
    fc.shuffledSubarray([...lines, framing, ...(upgrade ? ["Upgrade: websocket"] : [])], {
      minLength: lines.length + 1 + (upgrade ? 1 : 0),
    }),
  );

const optional = (text: string): fc.Arbitrary<Buffer | undefined> =>
  fc.constantFrom<Buffer | undefined>(undefined, Buffer.from(text));

function namesOf(head: MessageHead): string[] {
  const all: string[] = [];
  for (let record = 0; record < head.fieldCount * FIELD_STRIDE; record += FIELD_STRIDE) {
    all.push(
      head.buffer.toString("latin1", head.fields[record], head.fields[record + NAME_END]).toLowerCase(),
    );
  }
  return all;
}

function valuesOf(head: MessageHead, name: string): string[] {
  const all: string[] = [];
  namesOf(head).forEach((other, i) => {
    const record = i * FIELD_STRIDE;
    const { fields: at } = head;
    if (other === name)
      all.push(head.buffer.toString("latin1", at[record + VALUE_START], at[record + VALUE_END]));
  });
  return all;
}

test("a rewritten request is the same request without the previous hop's fields", () => {
  const target = fc.constantFrom("/", "/a?b", "http://h", "http://h/x?y");
  const changes = fc.record({
    forwardedFor: optional("192.0.2.7"),
    forwardedProto: optional("https"),
    forwardedHost: optional("h"),
    host: optional("app.test:8080"),
    requestId: optional("id"),
    trace: fc.constantFrom(undefined, {
      passes: false,
      traceParent: Buffer.from(TRACE_PARENT),
      keepsTraceState: false,
    }),
    addForward: fc.boolean(),
    credentialField: fc.constant(-1),
    addReroute: fc.boolean(),
    connectionClose: fc.boolean(),
    hopSecret: optional("s3cr3t"),
    pathPrefix: optional("/p/"),
    query: optional("q=1"),
  });
  const first = new RequestHead(40);
  const second = new RequestHead(40);
  fc.assert(
    fc.property(target, fields, changes, (uri, lines, rewrite) => {
      const text = [`POST ${uri} HTTP/1.1`, "Host: h", ...lines, "", ""].join("\r\n");
      const bytes = Buffer.from(text, "latin1");
      expect(parseRequestHead(first, bytes, 0, bytes.length), first.error?.message).toBe(HEAD_COMPLETE);
      const out = Buffer.alloc(requestHeadCapacity(first, rewrite));
      const end = writeRequestHead(first, out, 0, rewrite);
      expect(end).toBeLessThanOrEqual(out.length);
      expect(parseRequestHead(second, out, 0, end), second.error?.message).toBe(HEAD_COMPLETE);
      expect(second.end).toBe(end);
      for (const key of [
        "method",
        "chunked",
        "contentLength",
        "upgrade",
        "teTrailers",
        "expectContinue",
      ] as const) {
        expect(second[key], key).toBe(first[key]);
      }
      expect(second.connectionNamesFields).toBe(false);
      expect(second.connectionClose).toBe(rewrite.connectionClose && !first.upgrade);
      const names = namesOf(second);
      expect(names.filter((name) => HOP_BY_HOP.includes(name))).toEqual([]);
      expect(names.includes("x-piko-forward")).toBe(rewrite.addForward);
      expect(names.includes("x-piko-hop-capabilities")).toBe(rewrite.addForward && rewrite.addReroute);
      const named = lines
        .filter((line) => line.startsWith("Connection:"))
        .join(",")
        .toLowerCase();
      expect(names.includes("x-hop") && named.includes("x-hop")).toBe(false);
      if (rewrite.forwardedFor !== undefined) {
        const before = valuesOf(first, "x-forwarded-for").filter((value) => value !== "");
        expect(valuesOf(second, "x-forwarded-for")).toEqual([[...before, "192.0.2.7"].join(", ")]);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("a rewritten response is the same response without the previous hop's fields", () => {
  const statusLine = fc.constantFrom(
    "HTTP/1.1 200 OK",
    "HTTP/1.1 404",
    "HTTP/1.1 204 N",
    "HTTP/1.1 101 S",
    "HTTP/1.1 304 \xe9",
    "HTTP/1.1 426 U",
    "HTTP/1.1 999 X",
  );
  const changes = fc.record({
    framing: fc.integer({ min: 0, max: 3 }),
    connectionClose: fc.boolean(),
    keepAliveHttp10: fc.boolean(),
    halfClose: fc.boolean(),
    fromService: fc.boolean(),
    dateLine: optional("Date: now\r\n"),
  });
  const spacedLine = fc.constantFrom(
    "A : b",
    "Server\t :x",
    "X-Hop : y",
    "connection : x-hop",
    "Upgrade : x",
  );
  const responseFields = fc
    .tuple(fields, fc.array(spacedLine, { maxLength: 2 }))
    .map(([lines, spaced]) => [...spaced, ...lines]);
  const first = new ResponseHead(40);
  const second = new ResponseHead(40);
  fc.assert(
    fc.property(statusLine, responseFields, changes, (status, lines, rewrite) => {
      const bytes = Buffer.from([status, ...lines, "", ""].join("\r\n"), "latin1");
      expect(parseResponseHead(first, bytes, 0, bytes.length), first.error?.message).toBe(HEAD_COMPLETE);
      // Chunked framing only replaces a body until close.
      if (rewrite.framing === 2 && first.contentLength >= 0) return;
      const out = Buffer.alloc(responseHeadCapacity(first, rewrite));
      const end = writeResponseHead(first, out, 0, rewrite);
      expect(end).toBeLessThanOrEqual(out.length);
      expect(parseResponseHead(second, out, 0, end), second.error?.message).toBe(HEAD_COMPLETE);
      expect([second.end, second.status]).toEqual([end, first.status]);
      // White space before colons is removed, and nothing else is changed.
      expect(out.toString("latin1", 0, end)).not.toMatch(/^[\w-]+[ \t]+:/m);
      const upgrades =
        first.status === 426
          ? valuesOf(first, "upgrade")
          : valuesOf(first, "upgrade").slice(0, first.status === 101 ? 1 : 0);
      expect(valuesOf(second, "upgrade")).toEqual(upgrades);
      expect(out.toString("latin1", second.reasonStart, second.reasonEnd)).toBe(
        bytes.toString("latin1", first.reasonStart, first.reasonEnd),
      );
      expect(second.connectionNamesFields).toBe(false);
      const dropped = namesOf(second).filter(
        (name) => HOP_BY_HOP.includes(name) && name !== "http2-settings",
      );
      expect(dropped).toEqual([]);
      if (first.status === 101 || first.status === 204) {
        expect([second.chunked, second.contentLength]).toEqual([false, -1]);
      }
    }),
    { numRuns: 1_000 },
  );
});
