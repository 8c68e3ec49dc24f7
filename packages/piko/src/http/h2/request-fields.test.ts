// What a request's fields become: the bytes of an HTTP/1.1 head, or nothing. Requests are typically smuggled where HTTP/2 is
// converted to HTTP/1.1, so each known way is tested here.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { block, type Field, GET_FIELDS } from "../../../test/h2-peer.js";
import { HpackDecoder } from "./hpack-decoder.js";
import { RequestFields } from "./request-fields.js";
import { TrailerFields } from "./trailer-fields.js";

const fields = new RequestFields(10_000);

/** The head; or why it is refused. */
function headOf(list: readonly Field[], last = true): string {
  const bytes = Buffer.from(block(list), "latin1");
  fields.begin();
  if (!new HpackDecoder(4_096).decode(bytes, 0, bytes.length, fields)) return "not decoded";
  fields.finish(last);
  if (fields.malformed !== undefined) return `malformed: ${fields.malformed}`;
  if (fields.tooLarge) return "too large";
  if (fields.connect) return "connect";
  return fields.buffer.toString("latin1", fields.start, fields.end);
}

/** The usual fields, with one changed. */
function withPseudo(name: string, value: string): Field[] {
  return GET_FIELDS.map((field) => (field[0] === name ? [name, value] : field));
}

const without = (name: string): Field[] => GET_FIELDS.filter((field) => field[0] !== name);

describe("a head", () => {
  it("has its pseudo-fields first, whatever their order", () => {
    const expected = "GET /x HTTP/1.1\r\nhost: e.test\r\n\r\n";
    expect(headOf(GET_FIELDS)).toBe(expected);
    expect(headOf([...GET_FIELDS].reverse())).toBe(expected);
    expect(headOf([...without(":authority"), ["host", "e.test"]])).toBe(expected);
    expect(headOf([...GET_FIELDS, ["host", "E.TEST"]])).toBe(expected);
  });

  it("declares how its body ends", () => {
    const length: Field = ["content-length", "3"];
    expect(headOf(GET_FIELDS, false)).toContain("\r\ntransfer-encoding: chunked\r\n\r\n");
    expect(headOf([...GET_FIELDS, length], false)).toMatch(/\r\ncontent-length: 3\r\n\r\n$/);
    expect(headOf([...GET_FIELDS, length], false)).not.toContain("chunked");
  });

  it("has one Cookie", () => {
    const cookies: Field[] = [
      ["cookie", "a=1"],
      ["x", "y"],
      ["cookie", "b=2; c=3"],
      ["cookie", "d=4"],
    ];
    expect(headOf([...GET_FIELDS, ...cookies])).toBe(
      "GET /x HTTP/1.1\r\nhost: e.test\r\nx: y\r\ncookie: a=1; b=2; c=3; d=4\r\n\r\n",
    );
    expect(headOf(GET_FIELDS)).not.toContain("cookie");
  });

  it("may have te: trailers, priority, and white space within values", () => {
    const more: Field[] = [
      ["te", "trailers"],
      ["priority", "u=1, i"],
      ["x-blank", "a \tb"],
      ["x-empty", ""],
      ["x-latin", "\xe9"],
    ];
    expect(headOf([...GET_FIELDS, ...more])).toBe(
      "GET /x HTTP/1.1\r\nhost: e.test\r\nte: trailers\r\npriority: u=1, i\r\nx-blank: a \tb\r\nx-empty: \r\nx-latin: \xe9\r\n\r\n",
    );
  });

  it("isn't made for CONNECT", () => {
    const connect: Field = [":method", "CONNECT"];
    expect(headOf([connect, [":authority", "e.test:80"]])).toBe("connect");
    expect(headOf([connect, ...GET_FIELDS.slice(1)])).toBe("malformed: connect needs an authority alone");
    expect(headOf([connect])).toBe("malformed: connect needs an authority alone");
  });

  it("of an extended CONNECT is a WebSocket handshake (RFC 8441)", () => {
    const extended: Field[] = [[":method", "CONNECT"], [":protocol", "websocket"], ...GET_FIELDS.slice(1)];
    const more: Field[] = [
      ["sec-websocket-version", "13"],
      ["sec-websocket-key", "chosen by the client"],
    ];
    const head = headOf([...extended, ...more], false);
    const key = fields.webSocketKey;
    expect(key).toMatch(/^[\w+/]{22}==$/);
    expect(head).toBe(
      `GET /x HTTP/1.1\r\nhost: e.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ${key}\r\nsec-websocket-version: 13\r\n\r\n`,
    );
    expect(headOf(extended, false)).toContain(fields.webSocketKey);
    expect(fields.webSocketKey).not.toBe(key);
    expect(headOf([[":method", "CONNECT"], [":protocol", "connect-udp"], ...GET_FIELDS.slice(1)])).toBe(
      "connect",
    );
    expect(headOf(extended.filter(([name]) => name !== ":path"))).toBe(
      "malformed: extended connect lacks a pseudo-field",
    );
  });

  it("is refused if it exceeds the maximum size", () => {
    expect(headOf([...GET_FIELDS, ["x", "v".repeat(9_700)]])).toContain("vvv");
    expect(headOf([...GET_FIELDS, ["x", "v".repeat(9_900)]])).toBe("too large");
    expect(headOf([...GET_FIELDS, ...Array.from({ length: 300 }, (): Field => ["x", ""])])).toBe("too large");
    expect(headOf(GET_FIELDS)).toContain("/x");
  });
});

describe("smuggling", () => {
  it.each<[string, readonly Field[], string]>([
    ["H2.TE", [["transfer-encoding", "chunked"]], "field that belongs to a connection"],
    ["connection", [["connection", "x-piko-endpoint"]], "field that belongs to a connection"],
    ["proxy-connection", [["proxy-connection", "keep-alive"]], "field that belongs to a connection"],
    ["keep-alive", [["keep-alive", "timeout=5"]], "field that belongs to a connection"],
    ["upgrade", [["upgrade", "h2c"]], "field that belongs to a connection"],
    ["te with chunked", [["te", "trailers, chunked"]], "te other than trailers"],
    ["a line feed in a value", [["x", "a\nTransfer-Encoding: chunked"]], "invalid field value"],
    ["a CRLF in a value", [["x", "a\r\n\r\nGET /admin HTTP/1.1\r\n"]], "invalid field value"],
    ["a CR at a value's end", [["x", "a\r"]], "invalid field value"],
    ["a NUL in a value", [["x", "a\0b"]], "invalid field value"],
    ["a space before a value", [["x", " a"]], "invalid field value"],
    ["a tab after a value", [["x", "a\t"]], "invalid field value"],
    ["a CRLF in a name", [["x: y\r\nz", "a"]], "invalid field name"],
    ["a colon in a name", [["transfer-encoding:", "chunked"]], "invalid field name"],
    ["a space in a name", [["transfer-encoding ", "chunked"]], "invalid field name"],
    ["upper case in a name", [["Transfer-Encoding", "chunked"]], "invalid field name"],
    ["an empty name", [["", "x"]], "invalid field name"],
    ["a name with a byte outside ASCII", [["x\xe9", "a"]], "invalid field name"],
    ["another host", [["host", "other.test"]], "authority and host differ"],
    ["a second authority", [[":authority", "other.test"]], "pseudo-field more than once"],
    ["an unknown pseudo-field", [[":x", "y"]], "unknown pseudo-field"],
    ["a pseudo-field of responses", [[":status", "200"]], "unknown pseudo-field"],
    ["a pseudo-field of extended CONNECT", [[":protocol", "websocket"]], "protocol without connect"],
  ])("by %s is refused", (_name, more, why) => {
    expect(headOf([...GET_FIELDS, ...more])).toBe(`malformed: ${why}`);
  });

  it("by a pseudo-field after a field is refused", () => {
    expect(headOf([...without(":path"), ["x", "y"], [":path", "/x"]])).toMatch(/^malformed/);
    expect(headOf([...GET_FIELDS, ["x", "y"], [":method", "PUT"]])).toBe(
      "malformed: pseudo-field behind a field",
    );
  });

  it.each([
    [":method", "GET /admin HTTP/1.1\r\nx:", "invalid pseudo-field"],
    [":method", "GET ", "invalid pseudo-field"],
    [":path", "/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nx: ", "invalid pseudo-field"],
    [":path", "/x HTTP/1.1", "invalid pseudo-field"],
    [":path", "/x\ty", "invalid pseudo-field"],
    [":path", "/x\x7f", "invalid pseudo-field"],
    [":path", "", "no path"],
    [":path", "x", "path without a slash"],
    [":path", "http://other.test/", "path without a slash"],
    [":path", "?x", "path without a slash"],
    [":authority", "", "empty authority"],
    [":authority", "e.test\r\nx: y", "invalid pseudo-field"],
    [":authority", "e.test other.test", "invalid pseudo-field"],
    [":scheme", "http://other.test/?", "scheme other than http and https"],
    [":scheme", "HTTP", "scheme other than http and https"],
    [":scheme", "", "scheme other than http and https"],
  ])("by %s %j is refused", (name, value, why) => {
    expect(headOf(withPseudo(name, value))).toBe(`malformed: ${why}`);
  });

  it.each([":method", ":scheme", ":path"])("by leaving out %s is refused", (name) => {
    expect(headOf(without(name))).toBe(`malformed: no ${name.slice(1)}`);
  });

  it("by a host after two slashes stays in the path", () => {
    expect(headOf(withPseudo(":path", "//other.test/x"))).toBe(
      "GET //other.test/x HTTP/1.1\r\nhost: e.test\r\n\r\n",
    );
  });

  it("by arbitrary bytes adds no line", () => {
    const piece = fc.string({ unit: fc.constantFrom(..."aA:/ \t\r\n\0\x7f\xe9;,=*?#"), maxLength: 8 });
    const field = fc.tuple(
      fc.oneof(piece, fc.constantFrom(":path", ":method", "host", "cookie", "te")),
      piece,
    );
    fc.assert(
      fc.property(fc.array(field, { maxLength: 5 }), fc.boolean(), (more, last) => {
        for (const list of [
          [...GET_FIELDS, ...more],
          [...more, ...GET_FIELDS],
        ]) {
          const head = headOf(list, last);
          if (head.startsWith("malformed")) continue;
          const lines = head.split("\r\n");
          expect(head.endsWith("\r\n\r\n")).toBe(true);
          // The request line, Host, at most one line for each field, and one for chunks.
          expect(lines.length - 2).toBeLessThanOrEqual(2 + more.length + (last ? 0 : 1));
          for (const line of lines) expect(line).not.toMatch(/[\r\n\0]/);
          expect(lines[0]?.split(" ")).toHaveLength(3);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("trailers", () => {
  const trailers = new TrailerFields(1_000);
  const linesOf = (list: readonly Field[]): string => {
    const bytes = Buffer.from(block(list), "latin1");
    trailers.begin();
    new HpackDecoder(4_096).decode(bytes, 0, bytes.length, trailers);
    trailers.finish();
    if (trailers.tooLarge) return "too large";
    return trailers.malformed ?? trailers.buffer.toString("latin1", trailers.start, trailers.end);
  };

  it.each<[readonly Field[], string]>([
    [
      [
        ["grpc-status", "0"],
        ["x", ""],
      ],
      "grpc-status: 0\r\nx: \r\n\r\n",
    ],
    [[], "\r\n"],
    [[[":path", "/"]], "pseudo-field in trailers"],
    [[["x", "a\r\nb: c"]], "invalid field value"],
    [[["transfer-encoding", "chunked"]], "field that belongs to a connection"],
    [[["x", "v".repeat(2_000)]], "too large"],
  ])("%j become lines, or are refused: %j", (list, lines) => {
    expect(linesOf(list)).toBe(lines);
  });
});
