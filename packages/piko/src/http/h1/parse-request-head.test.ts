import { describe, expect, test } from "vitest";
import { type HttpErrorName } from "../errors.js";
import { findField } from "../find-field.js";
import * as names from "../field-names.js";
import {
  FIELD_STRIDE,
  HEAD_COMPLETE,
  HEAD_INCOMPLETE,
  HEAD_INVALID,
  RequestHead,
  VALUE_END,
  VALUE_START,
} from "../head.js";
import { parseRequestHead } from "./parse-request-head.js";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

function parse(text: string, maxFields = 20): RequestHead {
  const head = new RequestHead(maxFields);
  const buffer = bytes(text);
  expect(parseRequestHead(head, buffer, 0, buffer.length), head.error?.message).toBe(HEAD_COMPLETE);
  return head;
}

function refusal(text: string, maxFields = 20): string {
  const head = new RequestHead(maxFields);
  const buffer = bytes(text);
  expect(parseRequestHead(head, buffer, 0, buffer.length)).toBe(HEAD_INVALID);
  return head.error?.code ?? "";
}

const path = (head: RequestHead): string => head.buffer.toString("latin1", head.pathStart, head.pathEnd);
const host = (head: RequestHead): string => head.buffer.toString("latin1", head.hostStart, head.hostEnd);

/** A request with Host and these fields. */
const withFields = (...lines: string[]): string =>
  ["GET / HTTP/1.1", "Host: h", ...lines, "", ""].join("\r\n");

test("every byte of a long value is checked, wherever the value is in memory", () => {
  for (const pad of ["", "x", "xx", "xxx"]) {
    for (let at = 0; at < 80; at++) {
      for (const byte of [0, 9, 10, 13, 31, 32, 126, 127, 128, 159, 160, 255]) {
        const value = `a${"v".repeat(at)}${String.fromCharCode(byte)}${"v".repeat(79 - at)}z`;
        const text = withFields(`X${pad}: ${value}`);
        const head = new RequestHead(20);
        const result = parseRequestHead(head, bytes(text), 0, text.length);
        const good = byte === 9 || (byte >= 32 && byte !== 127);
        expect([at, byte, result]).toEqual([at, byte, good ? HEAD_COMPLETE : HEAD_INVALID]);
        if (good) expect(head.fields[FIELD_STRIDE + VALUE_END]).toBe(text.length - 4);
      }
    }
  }
});

describe("a request head that is accepted", () => {
  test("has offsets into the buffer that it was parsed from", () => {
    const text = "POST /a?b=c HTTP/1.1\r\nHost: svc.example.com\r\nX-Y:\t z \r\nContent-Length: 3\r\n\r\nabc";
    const head = new RequestHead(8);
    const buffer = bytes(`noise${text}noise`);
    expect(parseRequestHead(head, buffer, 5, 5 + text.length)).toBe(HEAD_COMPLETE);
    expect(head.method).toBe("POST");
    expect(path(head)).toBe("/a?b=c");
    expect(host(head)).toBe("svc.example.com");
    expect(head.start).toBe(5);
    expect(buffer.toString("latin1", head.end, head.end + 3)).toBe("abc");
    expect(head.fieldCount).toBe(3);
    const { fields } = head;
    const value = buffer.toString(
      "latin1",
      fields[FIELD_STRIDE + VALUE_START],
      fields[FIELD_STRIDE + VALUE_END],
    );
    expect(value).toBe("z");
    expect(head.contentLength).toBe(3);
  });

  test.each([
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PROPFIND",
    "get",
    "M-SEARCH",
    "GEX",
  ])("keeps the method %s as sent", (method) => {
    expect(parse(`${method} / HTTP/1.1\r\nHost: h\r\n\r\n`).method).toBe(method);
  });

  test.each([
    ["/", "/"],
    ["/a%20b/%zz|\"<>^`{}\\?q=[]'", "/a%20b/%zz|\"<>^`{}\\?q=[]'"],
    ["//x", "//x"],
    ["http://h", ""],
    ["HTTP://H?q", "?q"],
    ["https://h/x?y", "/x?y"],
  ])("finds the path of the target %s", (target, expected) => {
    expect(path(parse(`GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`))).toBe(expected);
  });

  test("may be an OPTIONS request for the asterisk", () => {
    expect(path(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"))).toBe("*");
  });

  test.each([
    "h",
    "h:80",
    "h:",
    "a.b-c_d~e",
    "1.2.3.4:1",
    "[::1]",
    "[::ffff:1.2.3.4]:65535",
    "%41b",
    "a!$&'()*+;=b",
    "",
  ])("may have the host %j", (value) => {
    expect(host(parse(`GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`))).toBe(value);
  });

  test("has the authority of an absolute target as its host", () => {
    const head = parse("GET http://Svc:80/x HTTP/1.1\r\nHost: svc:80\r\n\r\n");
    expect(host(head)).toBe("Svc:80");
    expect(host(parse("GET http://svc/x HTTP/1.0\r\n\r\n"))).toBe("svc");
  });

  test("needs no host in HTTP/1.0", () => {
    const head = parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect([head.minorVersion, head.hostStart, head.hostEnd, head.connectionKeepAlive]).toEqual([
      0,
      0,
      0,
      true,
    ]);
  });

  test("may follow a few empty lines, which aren't part of it", () => {
    const head = parse("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(head.start).toBe(4);
  });

  test.each([
    ["Content-Length: 0", 0],
    ["content-LENGTH:9007199254740991 ", 9007199254740991],
    ["Content-Length: 00042", 42],
  ])("has the length of %j", (line, length) => {
    expect(parse(withFields(line)).contentLength).toBe(length);
  });

  test.each(["Transfer-Encoding: chunked", "transfer-encoding:CHUNKED", "Transfer-Encoding: \t Chunked  "])(
    "is chunked by %j",
    (line) => {
      expect(parse(withFields(line)).chunked).toBe(true);
    },
  );

  test("collects the options of all its Connection fields", () => {
    const head = parse(withFields("Connection: , Close ,,x-y", "connection: KEEP-ALIVE"));
    expect([head.connectionClose, head.connectionKeepAlive, head.connectionNamesFields]).toEqual([
      true,
      true,
      true,
    ]);
    expect(parse(withFields("Connection: te, keep-alive, Proxy-Connection")).connectionNamesFields).toBe(
      false,
    );
  });

  test.each([
    [["Connection: Upgrade", "Upgrade: websocket"], true],
    [["Upgrade: WebSocket", "Connection: keep-alive, upgrade"], true],
    [["Upgrade: websocket"], false],
    [["Connection: upgrade"], false],
    [["Connection: upgrade", "Upgrade:"], false],
    [["Connection: upgradex", "Upgrade: websocket"], false],
    [["Connection: upgrade", "Upgrade: h2cx, https, a/http"], true],
    [["Connection: upgrade", "Upgrade: H2C"], false],
    [["Connection: upgrade", "Upgrade: websocket , h2c"], false],
    [["Connection: upgrade", "Upgrade: HTTP/2.0"], false],
    [["Connection: upgrade", "Upgrade: TLS/1.2, HTTP/1.1"], false],
    [["Connection: upgrade", "Upgrade: http\t/3"], false],
  ])("with %j is an upgrade: %s", (lines, upgrade) => {
    expect(parse(withFields(...lines)).upgrade).toBe(upgrade);
  });

  test("is no upgrade in HTTP/1.0", () => {
    expect(parse("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").upgrade).toBe(false);
  });

  test("has Expect, TE and the first x-piko-endpoint evaluated", () => {
    const head = parse(
      withFields(
        "Expect: 100-Continue",
        "TE: gzip;q=0.5, Trailers",
        "X-Piko-Endpoint: a",
        "x-piko-endpoint: b",
      ),
    );
    expect([head.expectContinue, head.teTrailers, head.endpointField]).toEqual([true, true, 3]);
    expect(findField(head, names.FIELD_X_PIKO_ENDPOINT)).toBe("a");
    expect(parse(withFields("TE: trailersx")).teTrailers).toBe(false);
  });

  test("has no expectation in HTTP/1.0", () => {
    expect(parse("GET / HTTP/1.0\r\nExpect: 100-continue\r\nExpect: x\r\n\r\n").expectContinue).toBe(false);
  });

  test("may have non-ASCII and empty field values", () => {
    expect(parse(withFields("A: \xff\x80", "B:", "C: \t ")).fieldCount).toBe(4);
  });

  test("keeps nothing of the previous head", () => {
    const head = new RequestHead(8);
    const first = bytes(
      "POST http://h/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: upgrade, close, x\r\n" +
        "Upgrade: y\r\nExpect: 100-continue\r\nTE: trailers\r\nx-piko-endpoint: e\r\n\r\n",
    );
    expect(parseRequestHead(head, first, 0, first.length)).toBe(HEAD_COMPLETE);
    const second = bytes("GET / HTTP/1.0\r\n\r\n");
    expect(parseRequestHead(head, second, 0, second.length)).toBe(HEAD_COMPLETE);
    const fresh = parse("GET / HTTP/1.0\r\n\r\n", 8);
    const comparable = (it: RequestHead): unknown => ({ ...it, buffer: undefined, fields: undefined });
    expect(comparable(head)).toEqual(comparable(fresh));
  });
});

describe("an incomplete request head", () => {
  const whole =
    "\r\nPOST http://a.b/c HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\nConnection: x, upgrade\r\nUpgrade: y\r\n\r\n";

  test("is incomplete at every byte except the last", () => {
    const head = new RequestHead(8);
    const buffer = bytes(whole);
    for (let end = 0; end < buffer.length; end++) {
      expect(parseRequestHead(head, buffer, 0, end), `at ${end}`).toBe(HEAD_INCOMPLETE);
    }
    expect(parseRequestHead(head, buffer, 0, buffer.length)).toBe(HEAD_COMPLETE);
  });
});

describe("a request head that is refused", () => {
  const lines: [text: string, error: HttpErrorName][] = [
    // Request line
    [" / HTTP/1.1\r\n", "METHOD"],
    ["G@T / HTTP/1.1\r\n", "METHOD"],
    ["GET\r\n", "METHOD"],
    [`${"A".repeat(33)} / HTTP/1.1\r\n`, "METHOD"],
    ["A".repeat(33), "METHOD"],
    ["\x16\x03\x01", "METHOD"],
    ["GET  / HTTP/1.1\r\n", "TARGET"],
    ["GET /\r\n", "TARGET"],
    ["GET /\tHTTP/1.1\r\n", "TARGET"],
    ["GET /\xe9 HTTP/1.1\r\n", "TARGET"],
    ["GET /\x7f HTTP/1.1\r\n", "TARGET"],
    ["GET /\0 HTTP/1.1\r\n", "TARGET"],
    ["GET /#a HTTP/1.1\r\n", "TARGET"],
    ["GET a HTTP/1.1\r\n", "TARGET"],
    ["GET h:80 HTTP/1.1\r\n", "TARGET"],
    ["GET * HTTP/1.1\r\n", "TARGET"],
    ["OPTIONS ** HTTP/1.1\r\n", "TARGET"],
    ["GET ?a HTTP/1.1\r\n", "TARGET"],
    ["GET ftp://h/ HTTP/1.1\r\n", "TARGET"],
    ["GET http:/h/ HTTP/1.1\r\n", "TARGET"],
    ["GET http:// HTTP/1.1\r\n", "TARGET"],
    ["GET http:///x HTTP/1.1\r\n", "HOST"],
    ["GET http://u:p@h/ HTTP/1.1\r\n", "HOST"],
    ["GET http://h:x/ HTTP/1.1\r\n", "HOST"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "TARGET"],
    ["CONNECT h:443 HTTP/1.1\r\n", "CONNECT"],
    ["CONNECT / HTTP/1.1\r\n", "CONNECT"],
    ["GET / HTTP/1.2\r\n", "VERSION_UNSUPPORTED"],
    ["GET / HTTP/2.0\r\n", "VERSION_UNSUPPORTED"],
    ["GET / HTTP/0.9\r\n", "VERSION_UNSUPPORTED"],
    ["GET / http/1.1\r\n", "VERSION"],
    ["GET / HTTP/1.1 \r\n", "VERSION"],
    ["GET / HTTP/1.10\r\n", "VERSION"],
    ["GET / HTTP/11\r\n", "VERSION"],
    ["GET / HTTP/1\r\n", "VERSION"],
    ["GET / HTTP/\r\n", "VERSION"],
    ["GET / \r\n", "VERSION"],
    ["GET /  HTTP/1.1\r\n", "VERSION"],
    ["GET / HTTP/1.1\n\n", "BARE_LF"],
    ["GET / HTTP/1.1\rX", "BARE_CR"],
    // Empty lines
    ["\nGET / HTTP/1.1\r\n", "BARE_LF"],
    ["\rG", "BARE_CR"],
    ["\r\n\r\n\r\n\r\n\r\n", "EMPTY_LINES"],
    // Field lines
    [withFields("A : b"), "FIELD_NAME_SPACE"],
    [withFields("A\t: b"), "FIELD_NAME_SPACE"],
    [withFields(": b"), "FIELD_NAME"],
    [withFields("A"), "FIELD_NAME"],
    [withFields("A\0: b"), "FIELD_NAME"],
    [withFields("A\xe9: b"), "FIELD_NAME"],
    [withFields("A(: b"), "FIELD_NAME"],
    [withFields("A: b", " c"), "FIELD_FOLDED"],
    [withFields("A: b", "\tc"), "FIELD_FOLDED"],
    ["GET / HTTP/1.1\r\n Host: h\r\n\r\n", "FIELD_FOLDED"],
    [withFields("A: b\0"), "FIELD_VALUE"],
    [withFields("A: b\x0bc"), "FIELD_VALUE"],
    [withFields("A: b\x7f"), "FIELD_VALUE"],
    [withFields("A: b\nC: d"), "BARE_LF"],
    [withFields("A\nC: d"), "BARE_LF"],
    [withFields("A: b\rC: d"), "BARE_CR"],
    ["GET / HTTP/1.1\r\nHost: h\r\n\n", "BARE_LF"],
    ["GET / HTTP/1.1\r\nHost: h\r\n\rX", "BARE_CR"],
    // Host
    ["GET / HTTP/1.1\r\n\r\n", "HOST_MISSING"],
    ["GET http://h/ HTTP/1.1\r\n\r\n", "HOST_MISSING"],
    [withFields("Host: h"), "HOST_REPEATED"],
    [withFields("host: i"), "HOST_REPEATED"],
    ["GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "HOST_REPEATED"],
    ["GET http://h/ HTTP/1.1\r\nHost: i\r\n\r\n", "TARGET_AUTHORITY"],
    ["GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", "TARGET_AUTHORITY"],
    ...[
      "a b",
      "a,b",
      "a/b",
      "u@h",
      ":80",
      "h:65536",
      "h:-1",
      "h:8x",
      "h:000080",
      "[::1",
      "[1]",
      "[::1%25eth0]",
      "[::g]",
    ].map((value): [string, HttpErrorName] => [`GET / HTTP/1.0\r\nHost: ${value}\r\n\r\n`, "HOST"]),
    ...["::1", "h:80:80", "%4", "%zz", "h%", "h\xe9", "[::1]x", "[v1.a]", "a\\b", "a?b", "a#b", "<"].map(
      (value): [string, HttpErrorName] => [`GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`, "HOST"],
    ),
    // Framing
    ...["", "+1", "-1", "1,1", "1 1", "0x1", "1e3", "1.0", "9007199254740992", "1".repeat(21)].map(
      (value): [string, HttpErrorName] => [withFields(`Content-Length: ${value}`), "CONTENT_LENGTH"],
    ),
    [withFields("Content-Length: 1", "content-length: 1"), "CONTENT_LENGTH_REPEATED"],
    ...[
      "",
      "identity",
      "gzip",
      "gzip, chunked",
      "chunked, chunked",
      "chunked,",
      "xchunked",
      "\xa0chunked",
      '"chunked"',
    ].map((value): [string, HttpErrorName] => [
      withFields(`Transfer-Encoding: ${value}`),
      "TRANSFER_ENCODING",
    ]),
    [withFields("Transfer-Encoding: chunked", "transfer-encoding: chunked"), "TRANSFER_ENCODING_REPEATED"],
    [withFields("Transfer-Encoding: chunked", "Content-Length: 0"), "TRANSFER_ENCODING_AND_LENGTH"],
    [withFields("Content-Length: 5", "Transfer-Encoding: chunked"), "TRANSFER_ENCODING_AND_LENGTH"],
    ["GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "TRANSFER_ENCODING_VERSION"],
    // Connection, Upgrade, Expect
    [withFields("Connection: a b"), "CONNECTION"],
    [withFields("Connection: close; x"), "CONNECTION"],
    [withFields(`Connection: ${"a".repeat(1025)}`), "CONNECTION"],
    [withFields(...Array.from({ length: 11 }, () => `Connection: ${"a".repeat(100)}`)), "CONNECTION"],
    ...[
      "Host",
      "content-length",
      "Transfer-Encoding",
      "X-Forwarded-For",
      "Authorization",
      "x-piko-endpoint",
    ].map((name): [string, HttpErrorName] => [
      withFields(`Connection: close, ${name}`),
      "CONNECTION_NAMES_FIELD",
    ]),
    [withFields("Connection: upgrade", "Upgrade: a", "Upgrade: b"), "UPGRADE"],
    [withFields("Expect: 200-ok"), "EXPECT"],
    [withFields("Expect: 100-continue, x"), "EXPECT"],
  ];

  test.each(lines)("is %j", (text, error) => {
    expect(refusal(text)).toBe(`PIKO_HTTP_${error}`);
  });

  test.each(lines)("stays refused with more bytes after %j", (text, error) => {
    expect(refusal(`${text}GET / HTTP/1.1\r\nHost: h\r\n\r\n`)).toBe(`PIKO_HTTP_${error}`);
  });

  test("has more fields than the head has room for", () => {
    expect(parse(withFields("A: b"), 2).fieldCount).toBe(2);
    expect(refusal(withFields("A: b", "C: d"), 2)).toBe("PIKO_HTTP_FIELD_COUNT");
  });

  test("gets the error for its malformed part if it also has an unknown expectation", () => {
    expect(refusal("GET / HTTP/1.1\r\nExpect: x\r\n\r\n")).toBe("PIKO_HTTP_HOST_MISSING");
  });
});
