// Differential tests against Node's own HTTP parser: from whatever our parser accepts, Node must read the same messages,
// with the same method, target, fields, body and trailers, from the same bytes. There are a few named exceptions for
// responses.

import fc from "fast-check";
import http from "node:http";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import {
  RESPONSE_EXCEPTIONS,
  type ResponseException,
  withoutExceptions,
} from "../../../test/response-exceptions.js";
import { requestBody, responseBody } from "../body-framing.js";
import { BodyReader } from "./body-reader.js";
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

const RUNS = 2_500;

/** One message as read by either parser. */
interface Message {
  line: string;
  fields: string[];
  body: string;
}

/** A connection without a network: what the test pushes arrives as sent by the peer. */
class Wire extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

/** Waits until everything queued has run. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function feed(wire: Wire, bytes: Buffer): void {
  wire.push(bytes);
  wire.push(null);
}

async function nodeRequests(bytes: Buffer): Promise<Message[]> {
  const messages: Message[] = [];
  const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
  server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
    collect(request, `${request.method} ${request.url} ${request.httpVersion}`, messages);
    request.on("end", () => response.end());
  });
  server.on("checkContinue", (request: http.IncomingMessage, response: http.ServerResponse) => {
    server.emit("request", request, response);
  });
  const wire = new Wire();
  const closed = new Promise<void>((resolve) => wire.on("close", resolve));
  // Messages before the refused one still have to reach their listeners.
  server.on("clientError", () => void settled().then(() => wire.destroy()));
  wire.on("error", () => {});
  server.emit("connection", wire);
  feed(wire, bytes);
  await closed;
  await settled();
  return messages;
}

async function nodeResponse(method: string, bytes: Buffer): Promise<Message[]> {
  const messages: Message[] = [];
  const wire = new Wire();
  const request = http.request({ method, createConnection: () => wire });
  const closed = new Promise<void>((resolve) => wire.on("close", resolve));
  request.on("error", () => wire.destroy());
  request.on("response", (response) => {
    collect(response, `${response.httpVersion} ${response.statusCode} ${response.statusMessage}`, messages);
    response.on("error", () => wire.destroy());
  });
  request.end();
  feed(wire, bytes);
  await closed;
  await settled();
  return messages;
}

function collect(incoming: http.IncomingMessage, line: string, messages: Message[]): void {
  const body: Buffer[] = [];
  incoming.on("data", (chunk: Buffer) => body.push(chunk));
  incoming.on("end", () => {
    if (!incoming.complete) return;
    messages.push({ line, fields: incoming.rawHeaders, body: Buffer.concat(body).toString("latin1") });
  });
}

function fieldsOf(head: MessageHead): string[] {
  const fields: string[] = [];
  for (let record = 0; record < head.fieldCount * FIELD_STRIDE; record += FIELD_STRIDE) {
    fields.push(head.buffer.toString("latin1", head.fields[record], head.fields[record + NAME_END]));
    fields.push(
      head.buffer.toString("latin1", head.fields[record + VALUE_START], head.fields[record + VALUE_END]),
    );
  }
  return fields;
}

/** The body at `start` and where it ends; undefined if it is refused or incomplete. */
function readBody(
  reader: BodyReader,
  bytes: Buffer,
  start: number,
  kind: number,
  length: number,
): [string, number] | undefined {
  let body = "";
  reader.reset(kind, length);
  const sink = {
    onBody: (buffer: Buffer, from: number, to: number): void =>
      void (body += buffer.toString("latin1", from, to)),
  };
  const end = reader.read(bytes, start, bytes.length, sink);
  return end < 0 || !reader.finish() ? undefined : [body, end];
}

function ourRequests(received: Buffer): Message[] {
  // A copy, because reading a chunked body overwrites it.
  const bytes = Buffer.from(received);
  const messages: Message[] = [];
  const head = new RequestHead(64);
  let at = 0;
  while (at < bytes.length && parseRequestHead(head, bytes, at, bytes.length) === HEAD_COMPLETE) {
    const body = readBody(new BodyReader(), bytes, head.end, requestBody(head), head.contentLength);
    if (body === undefined) break;
    const target = bytes.toString("latin1", head.targetStart, head.targetEnd);
    messages.push({
      line: `${head.method} ${target} 1.${head.minorVersion}`,
      fields: fieldsOf(head),
      body: body[0],
    });
    at = body[1];
    // Node closes such a connection after the response.
    if (head.connectionClose || (head.minorVersion === 0 && !head.connectionKeepAlive) || head.upgrade) break;
  }
  return messages;
}

function ourResponse(method: string, received: Buffer): Message[] {
  const bytes = Buffer.from(received);
  const head = new ResponseHead(64);
  if (parseResponseHead(head, bytes, 0, bytes.length) !== HEAD_COMPLETE || head.status < 200) return [];
  const reader = new BodyReader("response");
  const body = readBody(reader, bytes, head.end, responseBody(head, method), head.contentLength);
  if (body === undefined) return [];
  const reason = bytes.toString("latin1", head.reasonStart, head.reasonEnd);
  return [{ line: `1.${head.minorVersion} ${head.status} ${reason}`, fields: fieldsOf(head), body: body[0] }];
}

const oneOf = (...values: string[]): fc.Arbitrary<string> => fc.constantFrom(...values);

/** Usually the first value, so that most messages are valid. */
const usually = (value: string, ...others: string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: oneOf(...others) });

const fieldLine: fc.Arbitrary<string> = fc.oneof(
  oneOf("Accept: */*", "X: ", "x-y:z", "A:\tb ", "Cookie: a=b; c=\xe9", "Content-Type: text/plain"),
  oneOf(
    "Connection: close",
    "Connection: keep-alive",
    "connection: x, keep-alive",
    "Connection:",
    "TE: trailers",
  ),
  oneOf("Expect: 100-continue", "Trailer: A", "Keep-Alive: timeout=5", "Date: x"),
  oneOf(
    "A : b",
    " A: b",
    "A: b\r\n c",
    "A",
    ": b",
    "A\x00: b",
    "A: \x00",
    "A: \x7f",
    "A: \x0b",
    "A: b\rc",
    "A: b\nC: d",
  ),
  oneOf(
    "Content-Length: 5",
    "Content-Length: 0",
    "content-length:5",
    "Content-Length: +5",
    "Content-Length: 5,5",
  ),
  oneOf(
    "Content-Length: 005",
    "Content-Length: 5 5",
    "Content-Length:",
    "Content-Length: -1",
    "Content-Length: 0x5",
  ),
  oneOf(
    "Content-Length: 99999999999999999999",
    "Content_Length: 5",
    "Content-Length\t: 5",
    "Content-Length: 5;",
  ),
  oneOf("Transfer-Encoding: chunked", "transfer-encoding:CHUNKED", "Transfer-Encoding: xchunked"),
  oneOf(
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
  ),
  oneOf("Transfer-Encoding: chunked;q=1", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding: \xa0chunked"),
  oneOf(
    'Transfer-Encoding: "chunked"',
    "Transfer-Encoding:",
    "Transfer-Encoding : chunked",
    "Transfer-Encodin\xe7: x",
  ),
);

const body: fc.Arbitrary<string> = fc.oneof(
  oneOf("", "hello", "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n", "5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
  oneOf("5;a=b\r\nhello\r\n0\r\n\r\n", '5;a="b;\\"";c\r\nhello\r\n00;d\r\n\r\n', "05\r\nhello\r\n0\r\n\r\n"),
  oneOf(
    "5 \r\nhello\r\n0\r\n\r\n",
    '5 \t; a = " b\t" ; c\r\nhello\r\n0  \r\nA : b\r\n\r\n',
    "5;\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
  ),
  oneOf("5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "-1\r\n\r\n", '5;a="\t"\r\nhello\r\n0\r\n\r\n'),
  oneOf(
    "0\r\nA : b\r\n\r\n",
    "0\r\n A: b\r\n\r\n",
    "0\r\nA: b\n\r\n",
    "0\r\nA: b\r\n",
    "fffffffffffffffff\r\n",
  ),
  oneOf("0\r\nContent-Length: 5\r\n\r\n", "0\r\nA: b\r\nC: d\r\n\r\n", "1;a\x00\r\nx\r\n0\r\n\r\n"),
);

/** Changes up to two bytes. */
const mutations: fc.Arbitrary<(text: string) => string> = fc
  .array(
    fc.tuple(
      fc.nat(),
      oneOf("\r", "\n", "\r\n", " ", "\t", "\0", ":", ",", ";", "0", "a", "\x7f", "\xff", ""),
    ),
    {
      maxLength: 2,
    },
  )
  .map((edits) => (text) => {
    for (const [position, insert] of edits) {
      const at = position % (text.length + 1);
      // An even position inserts, an odd one replaces.
      text = text.slice(0, at) + insert + text.slice(at + (position % 2));
    }
    return text;
  });

const oneRequest: fc.Arbitrary<string> = fc
  .tuple(
    usually("GET", "POST", "HEAD", "OPTIONS", "PUT", "get", "G ET", ""),
    usually(
      "/",
      "/a?b=%20|c",
      "*",
      "http://h/x?y",
      "http://h",
      "/a b",
      "/\xe9",
      "//a",
      "x",
      "http://u@h/",
      "/a#b",
      "",
    ),
    usually(
      "HTTP/1.1",
      "HTTP/1.0",
      "HTTP/1.2",
      "HTTP/2.0",
      "HTTP/0.9",
      "http/1.1",
      "HTTP/1.1 ",
      "HTTP/11",
      "",
    ),
    usually("Host: h", "Host: h\r\nHost: h", "Host:", "Host: a b", "Host: h:80", "Host : h", "X: y"),
    fc.array(fieldLine, { maxLength: 3 }),
    body,
  )
  .map(([method, target, version, host, fields, content]) =>
    [`${method} ${target} ${version}`, host, ...fields, "", content].join("\r\n"),
  );

const requests = fc
  .tuple(fc.array(oneRequest, { minLength: 1, maxLength: 3 }), mutations)
  .map(([parts, mutate]) => Buffer.from(mutate(parts.join("")), "latin1"));

const response = fc
  .tuple(
    usually("HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 "),
    usually(
      "200 OK",
      "200",
      "200 ",
      "204 No",
      "304 N",
      "404 \xe9",
      "0200 OK",
      "20 OK",
      "600 X",
      "426 U",
      "999 X",
      "2000 X",
      "200\tOK",
    ),
    fc.array(fieldLine, { maxLength: 4 }),
    body,
  )
  .map(([version, status, fields, content]) => [`${version} ${status}`, ...fields, "", content].join("\r\n"));

const responses = fc.tuple(response, mutations).map(([text, mutate]) => Buffer.from(mutate(text), "latin1"));

test("accepted requests are the ones that node:http sees", { timeout: 120_000 }, async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(requests, async (bytes) => {
      const ours = ourRequests(bytes);
      // Node's parser can't be compared for methods that it doesn't know.
      const known = ours.findIndex(({ line }) => !http.METHODS.includes(line.split(" ")[0] ?? ""));
      const compared = known < 0 ? ours : ours.slice(0, known);
      accepted += compared.length;
      expect((await nodeRequests(bytes)).slice(0, compared.length)).toEqual(compared);
    }),
    { numRuns: RUNS },
  );
  // The property would say nothing if everything were refused.
  expect(accepted).toBeGreaterThan(RUNS / 10);
});

test("accepted responses are the ones that node:http sees", { timeout: 120_000 }, async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(oneOf("GET", "HEAD"), responses, async (method, bytes) => {
      const ours = ourResponse(method, bytes);
      accepted += ours.length;
      if (ours.length === 0) return;
      const plain = withoutExceptions(bytes, method);
      expect(await nodeResponse(method, plain)).toEqual(ours);
    }),
    { numRuns: RUNS },
  );
  expect(accepted).toBeGreaterThan(RUNS / 10);
});

test("responses with a part that Node refuses are the ones that node:http sees without that part", {
  timeout: 60_000,
}, async () => {
  const blank = oneOf("", "", " ", "\t", "  \t ");
  const name = fc.tuple(oneOf("A", "Server", "connection", "Upgrade"), blank).map((parts) => parts.join(""));
  const line = fc.tuple(name, oneOf(": b", ":\tkeep-alive")).map((parts) => parts.join(""));
  const extension = fc
    .tuple(blank, oneOf(";"), blank, oneOf("a"), blank, oneOf("="), blank, oneOf("b", '" ;\t\\""'), blank)
    .map((parts) => parts.join(""));
  const chunkLine = fc.tuple(blank, fc.oneof(oneOf(""), extension)).map((parts) => parts.join(""));
  const whole = fc
    .tuple(fc.array(line, { maxLength: 3 }), chunkLine, chunkLine, fc.array(line, { maxLength: 2 }))
    .map(([fields, first, last, trailers]) => {
      const head = ["HTTP/1.1 200 OK", ...fields, "Transfer-Encoding: chunked", "", ""].join("\r\n");
      return Buffer.from(`${head}5${first}\r\nhello\r\n0${last}\r\n${[...trailers, "", ""].join("\r\n")}`);
    });
  const exceptions = new Set<ResponseException>();
  await fc.assert(
    fc.asyncProperty(whole, async (bytes) => {
      const ours = ourResponse("GET", bytes);
      expect(ours).toHaveLength(1);
      expect(await nodeResponse("GET", withoutExceptions(bytes, "GET", exceptions))).toEqual(ours);
    }),
    { numRuns: 300 },
  );
  expect([...exceptions].sort()).toEqual([...RESPONSE_EXCEPTIONS].sort());
});
