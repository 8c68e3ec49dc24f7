// The same request over HTTP/1.1 and HTTP/2 reaches the service as the same message, or is refused with the same status.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { data, type Field, headers } from "../../../test/h2-peer.js";
import { H2Rig } from "../../../test/h2-rigs.js";
import { NodeRig } from "../../../test/node-rig.js";

interface Request {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly fields: readonly Field[];
  readonly body: readonly string[];
  readonly sized: boolean;
}

/** Normalizes what may differ in a message: the case of names, the order of fields, the chunks. */
function normal(message: string): unknown {
  if (message === "") return undefined;
  const at = message.indexOf("\r\n\r\n");
  const [line, ...rest] = message.slice(0, at).split("\r\n");
  const all = rest.map((field) => field.replace(/^[^:]*/, (name) => name.toLowerCase()));
  // Each request has a different id.
  const lines = all.filter((field) => !field.startsWith("x-request-id:"));
  let body = message.slice(at + 4);
  if (lines.includes("transfer-encoding: chunked")) {
    body = body.replaceAll(/[0-9a-f]+\r\n(.*?)\r\n/gs, "$1");
  }
  return { line, lines: lines.sort(), body };
}

function byHttp1(request: Request): { message: unknown; status: string | undefined } {
  const rig = new NodeRig();
  const body = request.body.join("");
  const length = request.sized ? [`Content-Length: ${body.length}`] : ["Transfer-Encoding: chunked"];
  const framing = request.body.length === 0 ? [] : length;
  const lines = [
    `${request.method} ${request.path} HTTP/1.1`,
    `Host: ${request.host}`,
    ...request.fields.map(([name, value]) => `${name}: ${value}`),
    ...framing,
  ];
  const chunks = request.body.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("");
  rig.socket.send(
    `${lines.join("\r\n")}\r\n\r\n${request.sized ? body : chunks === "" ? "" : `${chunks}0\r\n\r\n`}`,
  );
  const message = normal(rig.tunnel.streams.at(-1)?.written ?? "");
  const status = rig.socket.take().slice(9, 12);
  rig.close();
  return { message, status: status === "" ? undefined : status };
}

function byHttp2(request: Request): { message: unknown; status: string | undefined } {
  const rig = new H2Rig({});
  const body = request.body.join("");
  const fields: Field[] = [
    [":method", request.method],
    [":scheme", "http"],
    [":path", request.path],
    [":authority", request.host],
    ...request.fields.map(([name, value]): Field => [name.toLowerCase(), value]),
  ];
  if (request.sized && request.body.length > 0) fields.push(["content-length", String(body.length)]);
  rig.peer.send(headers(1, fields, request.body.length === 0));
  request.body.forEach((part, index) => rig.peer.send(data(1, part, index === request.body.length - 1)));
  const message = normal(rig.node.tunnel.streams.at(-1)?.written ?? "");
  const { status } = rig.peer.answer(1);
  rig.close();
  return { message, status };
}

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
const value = fc.stringMatching(/^([!-~]([ -~]{0,20}[!-~])?)?$/);
const name = fc.oneof(
  word
    .filter((each) => !["te", "upgrade", "host", "connection", "trailer", "expect"].includes(each))
    .map((each) => `x-${each}`),
  fc.constantFrom(
    "accept",
    "user-agent",
    "authorization",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-piko-tenant-id",
  ),
  fc.constantFrom(
    "X-Piko-Endpoint",
    "x-piko-forward",
    "x-piko-authorization",
    "x-real-ip",
    "cookie",
    "expect",
    "priority",
  ),
);
const request: fc.Arbitrary<Request> = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "get", "X-OWN"),
  path: fc.oneof(
    fc.stringMatching(/^\/[!-"$-~]{0,20}$/),
    fc.constantFrom("/", "/_piko", "/_piko/x", "/_pikoish", "//x", "/?q", "*"),
  ),
  host: fc.constantFrom(
    "e.test",
    "E.test:8000",
    "e.test:99999",
    "127.0.0.1",
    "[::1]",
    "other.test",
    "e.test,x",
    "user@e.test",
  ),
  fields: fc.uniqueArray(fc.tuple(name, value), { selector: ([each]) => each.toLowerCase(), maxLength: 5 }),
  body: fc.array(fc.stringMatching(/^[a-z]{1,20}$/), { maxLength: 3 }),
  sized: fc.boolean(),
});

describe("a request", () => {
  it("is the same for its service with either protocol", () => {
    fc.assert(
      fc.property(request, (each) => {
        expect(byHttp2(each)).toEqual(byHttp1(each));
      }),
      { numRuns: Number(process.env["PIKO_FUZZ_RUNS"] ?? 100) },
    );
  });
});
