import { describe, expect, test } from "vitest";
import { HEAD_COMPLETE, ResponseHead } from "../head.js";
import { parseResponseHead } from "./parse-response-head.js";
import {
  FRAMING_AS_IS,
  FRAMING_CHUNKED,
  FRAMING_NONE,
  type ResponseRewrite,
  responseHeadCapacity,
  writeResponseHead,
} from "./rewrite-response-head.js";

const NOTHING: ResponseRewrite = {
  framing: FRAMING_AS_IS,
  connectionClose: false,
  keepAliveHttp10: false,
  halfClose: false,
  fromService: false,
  dateLine: undefined,
};

function rewrite(text: string, changes: Partial<ResponseRewrite> = {}): string {
  const head = new ResponseHead(40);
  const buffer = Buffer.from(`junk${text}body`, "latin1");
  expect(parseResponseHead(head, buffer, 4, buffer.length), head.error?.message).toBe(HEAD_COMPLETE);
  const options = { ...NOTHING, ...changes };
  const out = Buffer.alloc(3 + responseHeadCapacity(head, options), 0x7e);
  const end = writeResponseHead(head, out, 3, options);
  expect(end).toBeLessThanOrEqual(out.length);
  return out.toString("latin1", 3, end);
}

const lines = (...all: string[]): string => [...all, "", ""].join("\r\n");
const response = (...fields: string[]): string => lines("HTTP/1.1 200 OK", ...fields);

describe("a response head for the next hop", () => {
  test("is the same when nothing has to change", () => {
    const text = lines(
      "HTTP/1.1 404 Nope \xff",
      "content-type: text/plain",
      "Content-Length: 3",
      "Set-Cookie: a",
      "Set-Cookie: b",
      "Trailer: T",
      "Date: then",
      "WWW-Authenticate: Basic",
    );
    expect(rewrite(text, { dateLine: Buffer.from("Date: now\r\n") })).toBe(text);
  });

  test("lacks hop-by-hop fields and the ones that Connection names", () => {
    const text = response(
      "Connection: close, X-Hop",
      "X-Hop: 1",
      "Keep-Alive: timeout=5",
      "Proxy-Connection: x",
      "Proxy-Authenticate: y",
      "Upgrade: h2c",
      "A: b",
    );
    expect(rewrite(text)).toBe(response("A: b"));
  });

  test("has no white space before a colon", () => {
    expect(rewrite(response("A : b", "Server\t :x", "Connection : x-hop", "X-Hop : 1", "C: d"))).toBe(
      response("A: b", "Server:x", "C: d"),
    );
  });

  test("keeps the Upgrade of a 426, with a Connection field for the next hop", () => {
    const required = (...fields: string[]): string => lines("HTTP/1.1 426 Upgrade Required", ...fields);
    const text = required("upgrade : websocket", "Connection: upgrade", "Upgrade: x/1", "A: b");
    const upgrades = ["upgrade: websocket", "Upgrade: x/1", "A: b"];
    expect(rewrite(text)).toBe(required(...upgrades, "Connection: Upgrade"));
    expect(rewrite(text, { connectionClose: true })).toBe(
      required(...upgrades, "Connection: Upgrade", "Connection: close"),
    );
    expect(rewrite(required("Connection: close"))).toBe(required());
  });

  test("never lets a service claim to be a node", () => {
    expect(rewrite(response("X-Piko-Reroute: true", "A: b"))).toBe(response("A: b"));
  });

  test.each([
    ["HTTP/1.0 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"],
    ["HTTP/1.0 200 \r\n\r\n", "HTTP/1.1 200 \r\n\r\n"],
    ["HTTP/1.1 200\r\nA: b\r\n\r\n", "HTTP/1.1 200 \r\nA: b\r\n\r\n"],
    ["HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n\r\n"],
  ])("has a status line of HTTP/1.1: %j", (text, expected) => {
    expect(rewrite(text)).toBe(expected);
  });

  test.each([
    [FRAMING_AS_IS, "transfer-encoding: CHUNKED", response("Transfer-Encoding: chunked")],
    [FRAMING_AS_IS, "Content-Length: 3", response("Content-Length: 3")],
    [FRAMING_NONE, "Content-Length: 3", response()],
    [FRAMING_NONE, "Transfer-Encoding: chunked", response()],
    [FRAMING_CHUNKED, "A: b", response("A: b", "Transfer-Encoding: chunked")],
    [FRAMING_NONE, "Transfer-Encoding: chunked", response()],
  ])("with framing %i turns %j into %j", (framing, line, expected) => {
    expect(rewrite(response(line), { framing })).toBe(expected);
  });

  test.each(["HTTP/1.1 204 No Content", "HTTP/1.1 103 Early Hints"])(
    "has no framing fields for %s",
    (status) => {
      const text = lines(status, "Content-Length: 0", "Link: a");
      expect(rewrite(text)).toBe(lines(status, "Link: a"));
      expect(rewrite(lines(status, "Transfer-Encoding: chunked"), { framing: FRAMING_CHUNKED })).toBe(
        lines(status),
      );
    },
  );

  test("keeps the length in a 304 or a response to HEAD", () => {
    const text = lines("HTTP/1.1 304 Not Modified", "Content-Length: 10");
    expect(rewrite(text)).toBe(text);
  });

  test("announces half-close for a 101 itself, whatever a service sends", () => {
    const status = "HTTP/1.1 101 Switching Protocols";
    const [connection, upgrade] = ["Connection: Upgrade", "Upgrade: x"];
    const sent = "x-piko-capabilities: half-close";
    const text = lines(status, sent, connection, upgrade);
    expect(rewrite(text)).toBe(lines(status, connection, upgrade));
    expect(rewrite(text, { halfClose: true })).toBe(lines(status, sent, connection, upgrade));
    expect(rewrite(response(sent), { halfClose: true })).toBe(response());
  });

  test("gets a Date if it has none", () => {
    const dateLine = Buffer.from("Date: now\r\n");
    expect(rewrite(response("A: b"), { dateLine })).toBe(response("A: b", "Date: now"));
    expect(rewrite(lines("HTTP/1.1 103 E"), { dateLine })).toBe(lines("HTTP/1.1 103 E"));
  });

  test("announces whether the connection is closed or kept", () => {
    expect(rewrite(response(), { connectionClose: true, keepAliveHttp10: true })).toBe(
      response("Connection: close"),
    );
    expect(rewrite(response(), { keepAliveHttp10: true })).toBe(response("Connection: keep-alive"));
    expect(rewrite(lines("HTTP/1.1 100 C"), { connectionClose: true })).toBe(lines("HTTP/1.1 100 C"));
  });

  test("keeps a switch of protocols", () => {
    const text = lines(
      "HTTP/1.1 101 Switching",
      "upgrade: WebSocket",
      "connection: Upgrade",
      "Content-Length: 0",
      "A: b",
    );
    expect(rewrite(text, { connectionClose: true })).toBe(
      lines("HTTP/1.1 101 Switching", "A: b", "Connection: Upgrade", "Upgrade: WebSocket"),
    );
    expect(rewrite(lines("HTTP/1.1 101 S"))).toBe(lines("HTTP/1.1 101 S"));
  });
});
