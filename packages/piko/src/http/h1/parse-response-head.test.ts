import { describe, expect, test } from "vitest";
import { type HttpErrorName } from "../errors.js";
import {
  FIELD_STRIDE,
  HEAD_COMPLETE,
  HEAD_INCOMPLETE,
  HEAD_INVALID,
  NAME_END,
  ResponseHead,
} from "../head.js";
import { parseResponseHead } from "./parse-response-head.js";

function run(text: string): [number, ResponseHead] {
  const head = new ResponseHead(8);
  const buffer = Buffer.from(text, "latin1");
  return [parseResponseHead(head, buffer, 0, buffer.length), head];
}

function parse(text: string): ResponseHead {
  const [result, head] = run(text);
  expect(result, head.error?.message).toBe(HEAD_COMPLETE);
  return head;
}

describe("a response head that is accepted", () => {
  test.each([
    ["HTTP/1.1 200 OK\r\n\r\n", 1, 200, "OK"],
    ["HTTP/1.0 404 Not Found\r\n\r\n", 0, 404, "Not Found"],
    ["HTTP/1.1 599 \r\n\r\n", 1, 599, ""],
    ["HTTP/1.1 600 X\r\n\r\n", 1, 600, "X"],
    ["HTTP/1.1 999\r\n\r\n", 1, 999, ""],
    ["HTTP/1.1 100\r\n\r\n", 1, 100, ""],
    ["HTTP/1.1 200 caf\xe9\tok\r\n\r\n", 1, 200, "caf\xe9\tok"],
  ])("starts with %j", (text, minor, status, reason) => {
    const head = parse(text);
    expect([head.minorVersion, head.status]).toEqual([minor, status]);
    expect(head.buffer.toString("latin1", head.reasonStart, head.reasonEnd)).toBe(reason);
    expect(head.end).toBe(text.length);
  });

  test("has its framing, connection options, upgrade and date evaluated", () => {
    const head = parse(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, x\r\nUpgrade: websocket\r\nDate: now\r\nContent-Length: 0\r\n\r\n",
    );
    expect([
      head.upgrade,
      head.upgradeField,
      head.connectionNamesFields,
      head.hasDate,
      head.contentLength,
    ]).toEqual([true, 1, true, true, 0]);
    expect(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")).toMatchObject(
      {
        chunked: true,
        connectionClose: true,
        hasDate: false,
        upgrade: false,
      },
    );
  });

  test("has names without the white space before their colons", () => {
    const head = parse(
      "HTTP/1.1 200 OK\r\nServer : a\r\nUpgrade\t :b\r\nConnection :upgrade, close\r\nA: c\r\n\r\n",
    );
    const names = [0, 1, 2, 3].map((i) =>
      head.buffer.toString("latin1", head.fields[i * FIELD_STRIDE], head.fields[i * FIELD_STRIDE + NAME_END]),
    );
    expect(names).toEqual(["Server", "Upgrade", "Connection", "A"]);
    expect([head.upgrade, head.connectionClose, head.upgradeField]).toEqual([true, true, 1]);
  });

  test("is incomplete at every byte except the last", () => {
    const text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer \t: x\r\nConnection: close\r\n\r\n";
    for (let end = 0; end < text.length; end++)
      expect(run(text.slice(0, end))[0], `at ${end}`).toBe(HEAD_INCOMPLETE);
    parse(text);
  });
});

describe("a response head that is refused", () => {
  const withFields = (...lines: string[]): string => ["HTTP/1.1 200 OK", ...lines, "", ""].join("\r\n");
  const lines: [text: string, error: HttpErrorName][] = [
    ["\r\nHTTP/1.1 200 OK\r\n\r\n", "STATUS_LINE"],
    ["HTTP/1.2 200 OK\r\n", "STATUS_LINE"],
    ["HTTP/2 200\r\n\r\n", "STATUS_LINE"],
    ["http/1.1 200 OK\r\n", "STATUS_LINE"],
    ["HTTP/1.1  200 OK\r\n", "STATUS_LINE"],
    ["HTTP/1.1\t200 OK\r\n", "STATUS_LINE"],
    ["HTTP/1.1 2000 OK\r\n", "STATUS_LINE"],
    ["HTTP/1.1 20 OK\r\n", "STATUS_LINE"],
    ["HTTP/1.1 20\r\n\r\n", "STATUS_LINE"],
    ["HTTP/1.1\r\n\r\n", "STATUS_LINE"],
    ["HTTP/1.\r\n\r\n", "STATUS_LINE"],
    ["HTTP/1.1 200\tOK\r\n", "STATUS_LINE"],
    ["HTTP/1.1 2x0 OK\r\n", "STATUS_LINE"],
    ["HTTP/1.1 200\nOK\r\n", "STATUS_LINE"],
    ["HTTP/1.1 099 OK\r\n", "STATUS"],
    ["HTTP/1.1 000 OK\r\n", "STATUS"],
    ["HTTP/1.0 100 Continue\r\n", "INTERIM_VERSION"],
    ["HTTP/1.1 200 O\0K\r\n", "FIELD_VALUE"],
    ["HTTP/1.1 200 OK\n\n", "BARE_LF"],
    ["HTTP/1.1 200 OK\rX", "BARE_CR"],
    [withFields("A b: c"), "FIELD_NAME_SPACE"],
    [withFields("A b"), "FIELD_NAME_SPACE"],
    [withFields("Content-Length : 5"), "FIELD_NAME_SPACE"],
    [withFields("transfer-encoding\t: chunked"), "FIELD_NAME_SPACE"],
    [withFields("Content-Length : x"), "FIELD_NAME_SPACE"],
    [withFields(" : b"), "FIELD_FOLDED"],
    [withFields("A: b", " c"), "FIELD_FOLDED"],
    ["HTTP/1.1 200 OK\r\nA: b\r\n\rX", "BARE_CR"],
    [withFields("Content-Length: 5", "Content-Length: 5"), "CONTENT_LENGTH_REPEATED"],
    [withFields("Content-Length: 5, 5"), "CONTENT_LENGTH"],
    [withFields("Content-Length: 5", "Transfer-Encoding: chunked"), "TRANSFER_ENCODING_AND_LENGTH"],
    [withFields("Content-Length: 5 \t"), "CONTENT_LENGTH"],
    [withFields("Transfer-Encoding: gzip"), "TRANSFER_ENCODING"],
    [withFields("Transfer-Encoding: chunked\t"), "TRANSFER_ENCODING"],
    ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "TRANSFER_ENCODING_VERSION"],
    [withFields("Connection: content-length"), "CONNECTION_NAMES_FIELD"],
    [withFields(...Array.from({ length: 9 }, (_, i) => `A${i}: b`)), "FIELD_COUNT"],
  ];

  test.each(lines)("is %j", (text, error) => {
    const [result, head] = run(text);
    expect(result).toBe(HEAD_INVALID);
    expect(head.error?.code).toBe(`PIKO_HTTP_${error}`);
  });
});
