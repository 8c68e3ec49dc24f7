// Known request smuggling attacks: streams of bytes that two implementations have read differently. Each is either refused
// or read as exactly the listed requests, and the bytes passed on have the same meaning.

import { describe, expect, test } from "vitest";
import { BODY_CHUNKED, requestBody } from "../body-framing.js";
import { BODY_INVALID, BodyReader } from "./body-reader.js";
import { HEAD_COMPLETE, HEAD_INCOMPLETE, RequestHead } from "../head.js";
import { parseRequestHead } from "./parse-request-head.js";
import { requestHeadCapacity, writeRequestHead } from "./rewrite-request-head.js";
import { writeBody, writeLastChunk } from "./write-body.js";
import { PLAIN_REQUEST } from "../request-rewrite.js";

/** The request lines that are read, and the refusal that ends them, if any. `sent` collects the bytes passed on. */
function parseAll(text: string, sent: string[] = []): string[] {
  const bytes = Buffer.from(text, "latin1");
  const head = new RequestHead(20);
  const reader = new BodyReader();
  const seen: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const result = parseRequestHead(head, bytes, at, bytes.length);
    if (result === HEAD_INCOMPLETE) return [...seen, "incomplete"];
    if (result !== HEAD_COMPLETE) return [...seen, head.error?.message ?? ""];
    seen.push(`${head.method} ${bytes.toString("latin1", head.targetStart, head.targetEnd)}`);
    const out = Buffer.alloc(requestHeadCapacity(head, PLAIN_REQUEST));
    let message = out.toString("latin1", 0, writeRequestHead(head, out, 0, PLAIN_REQUEST));
    const sink = {
      write: (buffer: Buffer, start: number, end: number): void =>
        void (message += buffer.toString("latin1", start, end)),
    };
    const kind = requestBody(head);
    const chunked = kind === BODY_CHUNKED;
    reader.reset(kind, head.contentLength);
    at = reader.read(bytes, head.end, bytes.length, {
      onBody: (buffer, start, end) => writeBody(sink, chunked, buffer, start, end),
    });
    if (at === BODY_INVALID) return [...seen, reader.error?.message ?? ""];
    if (!reader.done) return [...seen, "truncated"];
    if (chunked) writeLastChunk(sink, reader.trailers);
    sent.push(message);
  }
  return seen;
}

const post = (...rest: string[]): string => ["POST / HTTP/1.1", "Host: h", ...rest].join("\r\n");
const EVIL = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";

describe("a stream that two readers could split differently", () => {
  test.each([
    [
      "CL.TE",
      post("Content-Length: 6", "Transfer-Encoding: chunked", "", "0", "", "G"),
      "both transfer-encoding and content-length",
    ],
    [
      "TE.CL",
      post("Transfer-Encoding: chunked", "Content-Length: 3", "", "8", "SMUGGLED", "0", "", ""),
      "both transfer-encoding and content-length",
    ],
    [
      "CL.CL",
      post("Content-Length: 0", "Content-Length: 30", "", EVIL),
      "more than one content-length field",
    ],
    ["CL list", post("Content-Length: 0, 30", "", EVIL), "invalid content-length"],
    ["CL with sign", post("Content-Length: +30", "", EVIL), "invalid content-length"],
    ["CL with underscore digits", post("Content-Length: 3_0", "", EVIL), "invalid content-length"],
    ["CL overflow", post("Content-Length: 18446744073709551616", "", EVIL), "invalid content-length"],
    [
      "CL with a space in its name",
      post("Content-Length : 30", "", EVIL),
      "white space before the colon of a field",
    ],
    ["CL with NUL", post("Content-Length: 30\0", "", EVIL), "invalid byte in a field value"],
    ["CL after a folded line", post("X: y", " Content-Length: 30", "", EVIL), "folded field line"],
    ["CL after a bare CR", post("X: y\rContent-Length: 30", "", EVIL), "carriage return without line feed"],
    ["CL after a bare LF", post("X: y\nContent-Length: 30", "", EVIL), "line ends without carriage return"],
    [
      "TE with a space in its name",
      post("Transfer-Encoding : chunked", "", "0", "", EVIL),
      "white space before the colon of a field",
    ],
    [
      "TE with a tab in its name",
      post("Transfer-Encoding\t:chunked", "", "0", "", EVIL),
      "white space before the colon of a field",
    ],
    [
      "TE with vertical tab",
      post("Transfer-Encoding: \x0bchunked", "", "0", "", EVIL),
      "invalid byte in a field value",
    ],
    [
      "TE with a no-break space",
      post("Transfer-Encoding:\xa0chunked", "", "0", "", EVIL),
      "transfer-encoding other than chunked",
    ],
    [
      "TE unknown",
      post("Transfer-Encoding: xchunked", "", "0", "", EVIL),
      "transfer-encoding other than chunked",
    ],
    [
      "TE identity",
      post("Transfer-Encoding: identity", "Content-Length: 5", "", "hello"),
      "transfer-encoding other than chunked",
    ],
    [
      "TE twice",
      post("Transfer-Encoding: chunked", "Transfer-Encoding: x", "", "0", "", EVIL),
      "more than one transfer-encoding field",
    ],
    [
      "TE list",
      post("Transfer-Encoding: chunked, identity", "", "0", "", EVIL),
      "transfer-encoding other than chunked",
    ],
    [
      "TE folded",
      post("Transfer-Encoding:", " chunked", "", "0", "", EVIL),
      "transfer-encoding other than chunked",
    ],
    [
      "TE in HTTP/1.0",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "transfer-encoding needs http/1.1",
    ],
    ["a field without a name", post(": x", "", EVIL), "invalid field name"],
    ["a field name with NUL", post("Content\0-Length: 30", "", EVIL), "invalid field name"],
    ["a space before the first field", `GET / HTTP/1.1\r\n Host: h\r\n\r\n${EVIL}`, "folded field line"],
    ["two hosts", `GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n`, "more than one host field"],
    [
      "a host in the target and another in Host",
      "GET http://i/ HTTP/1.1\r\nHost: h\r\n\r\n",
      "request target and host field differ",
    ],
    ["a request line in the target", "GET / HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n", "invalid http version"],
    [
      "framing dropped by Connection",
      post("Connection: close, content-length", "Content-Length: 30", "", EVIL),
      "connection field names a field that must not be dropped",
    ],
    [
      "framing dropped by Connection, chunked",
      post("Connection: Transfer-Encoding", "Transfer-Encoding: chunked", "", "0", "", ""),
      "connection field names a field that must not be dropped",
    ],
  ])("is refused: %s", (_title, text, message) => {
    expect(parseAll(text)).toEqual([message]);
  });

  test.each([
    ["a chunk size that wraps", "10000000000000005\r\nhello\r\n0\r\n\r\n", "invalid chunk size"],
    ["a chunk size in C notation", "0x5\r\nhello\r\n0\r\n\r\n", "invalid chunk size"],
    ["a chunk size with a sign", "+5\r\nhello\r\n0\r\n\r\n", "invalid chunk size"],
    ["a chunk size with spaces", "5 \r\nhello\r\n0\r\n\r\n", "invalid chunk size"],
    ["a line feed that ends the size", "5\nhello\r\n0\r\n\r\n", "line ends without carriage return"],
    ["a line feed that ends an extension", "5;a\nhello\r\n0\r\n\r\n", "line ends without carriage return"],
    [
      "a carriage return in an extension",
      "5;a\rb\r\nhello\r\n0\r\n\r\n",
      "carriage return without line feed",
    ],
    [
      "a line feed in a quoted extension",
      '5;a="\n"\r\nhello\r\n0\r\n\r\n',
      "line ends without carriage return",
    ],
    ["a chunk that is too long", "5\r\nhelloXX0\r\n\r\n", "chunk longer than its size"],
    ["a line feed after the data", "5\r\nhello\n0\r\n\r\n", "chunk longer than its size"],
    ["a last chunk that ends with a line feed", "0\r\n\n", "line ends without carriage return"],
    ["a trailer that changes the framing", "0\r\nContent-Length: 5\r\n\r\n", "invalid trailer section"],
    ["a request in place of trailers", `0\r\n${EVIL}`, "white space before the colon of a field"],
  ])("is refused in its chunks: %s", (_title, body, message) => {
    expect(parseAll(`${post("Transfer-Encoding: chunked", "", "")}${body}`)).toEqual(["POST /", message]);
  });

  test("is a request with a body and a second request", () => {
    const sent: string[] = [];
    expect(parseAll(`${post("Content-Length: 5", "", "hello")}${EVIL}`, sent)).toEqual([
      "POST /",
      "GET /evil",
    ]);
    expect(sent).toEqual([post("Content-Length: 5", "", "hello"), EVIL]);
  });

  test("keeps a request that is inside a body as a part of the body", () => {
    expect(parseAll(post(`Content-Length: ${EVIL.length}`, "", EVIL))).toEqual(["POST /"]);
    const size = EVIL.length.toString(16);
    expect(parseAll(post("Transfer-Encoding: chunked", "", size, EVIL, "0", "", ""))).toEqual(["POST /"]);
  });

  test("has a body whatever its method is", () => {
    const text = `GET / HTTP/1.1\r\nHost: h\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`;
    expect(parseAll(text)).toEqual(["GET /"]);
  });

  test("may have a field that only looks like framing, which is passed on unchanged", () => {
    const sent: string[] = [];
    const text = post("Content_Length: 30", "Transfer_Encoding: chunked", "", "");
    expect(parseAll(`${text}${EVIL}`, sent)).toEqual(["POST /", "GET /evil"]);
    expect(sent).toEqual([text, EVIL]);
  });

  test("is read in the same way after rewriting", () => {
    const sent: string[] = [];
    const text = `${post("transfer-encoding: CHUNKED", "connection: x", "x: y", "", "1;a=b", "z", "0", "T: u", "", "")}${EVIL}`;
    const seen = parseAll(text, sent);
    const again: string[] = [];
    expect(parseAll(sent.join(""), again)).toEqual(seen);
    expect(again).toEqual(sent);
  });
});
