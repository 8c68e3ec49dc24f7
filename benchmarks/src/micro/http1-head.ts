// CPU time per head of the HTTP/1.1 parser and rewriter, in nanoseconds. Run after `npm run build`:
// node benchmarks/src/micro/http1-head.ts (Node 22.18 or newer, which strips types).

import { parseRequestHead } from "../../../packages/piko/dist/http/h1/parse-request-head.js";
import { parseResponseHead } from "../../../packages/piko/dist/http/h1/parse-response-head.js";
import { HEAD_COMPLETE, RequestHead, ResponseHead } from "../../../packages/piko/dist/http/head.js";
import { writeRequestHead } from "../../../packages/piko/dist/http/h1/rewrite-request-head.js";
import { writeResponseHead } from "../../../packages/piko/dist/http/h1/rewrite-response-head.js";
import { BODY_CHUNKED } from "../../../packages/piko/dist/http/body-framing.js";
import { BodyReader } from "../../../packages/piko/dist/http/h1/body-reader.js";

const bytes = (...lines: string[]): Buffer => Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");

const small = bytes("GET / HTTP/1.1", "Host: my-endpoint.piko.example.com:8000", "Accept: */*");
const browser = bytes(
  "GET /assets/app/main.7f3c9b.js?v=20261101 HTTP/1.1",
  "Host: my-endpoint.piko.example.com",
  "Connection: keep-alive",
  'sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
  "sec-ch-ua-mobile: ?0",
  'sec-ch-ua-platform: "Linux"',
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
  "Accept: */*",
  "Sec-Fetch-Site: same-origin",
  "Sec-Fetch-Mode: no-cors",
  "Sec-Fetch-Dest: script",
  "Referer: https://my-endpoint.piko.example.com/",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Accept-Language: en-US,en;q=0.9,de;q=0.8",
  "Cookie: session=0123456789abcdef0123456789abcdef",
);
const response = bytes(
  "HTTP/1.1 200 OK",
  "Server: nginx/1.22.1",
  "Date: Sun, 01 Nov 2026 10:00:00 GMT",
  "Content-Type: text/plain",
  "Content-Length: 100",
  "Connection: keep-alive",
);
const chunked = Buffer.from(`${"400\r\n".concat("x".repeat(1024), "\r\n").repeat(16)}0\r\n\r\n`, "latin1");

/** Reading a chunked body overwrites it. */
const arrived = Buffer.alloc(chunked.length);

const request = new RequestHead(100);
const reply = new ResponseHead(100);
const reader = new BodyReader();
const out = Buffer.alloc(4096);
const rewrite = {
  forwardedFor: Buffer.from("192.0.2.17"),
  forwardedProto: undefined,
  forwardedHost: undefined,
  host: undefined,
  requestId: undefined,
  trace: undefined,
  addForward: false,
  hopSecret: undefined,
  credentialField: -1,
  addReroute: false,
  connectionClose: true,
  pathPrefix: undefined,
  query: undefined,
};
const replyRewrite = {
  framing: 0,
  connectionClose: false,
  keepAliveHttp10: false,
  dateLine: undefined,
  halfClose: false,
  fromService: false,
};

let passed = 0;
const sink = { onBody: (_buffer: Buffer, start: number, end: number): void => void (passed += end - start) };

function parse(head: Buffer): void {
  if (parseRequestHead(request, head, 0, head.length) !== HEAD_COMPLETE) throw new Error("head refused");
}

const cases: readonly (readonly [string, () => void])[] = [
  [`request ${small.length} B, parse`, () => parse(small)],
  [`request ${small.length} B, parse and rewrite`, () => (parse(small), rewriteRequest())],
  [`request ${browser.length} B, parse`, () => parse(browser)],
  [`request ${browser.length} B, parse and rewrite`, () => (parse(browser), rewriteRequest())],
  [`response ${response.length} B, parse`, () => parseReply()],
  [`response ${response.length} B, parse and rewrite`, () => (parseReply(), rewriteReply())],
  [`chunked body, 16 x 1 KiB`, () => readChunks()],
];

function rewriteRequest(): void {
  passed += writeRequestHead(request, out, 0, rewrite);
}

function parseReply(): void {
  if (parseResponseHead(reply, response, 0, response.length) !== HEAD_COMPLETE) throw new Error("refused");
}

function rewriteReply(): void {
  passed += writeResponseHead(reply, out, 0, replyRewrite);
}

function readChunks(): void {
  reader.reset(BODY_CHUNKED, 0);
  chunked.copy(arrived);
  passed += reader.read(arrived, 0, arrived.length, sink);
}

const ROUNDS = 9;
const REPEATS = 50_000;

for (const [title, run] of cases) {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.cpuUsage();
    for (let i = 0; i < REPEATS; i++) run();
    times.push((process.cpuUsage(started).user * 1000) / REPEATS);
  }
  times.sort((a, b) => a - b);
  console.log(
    `${title.padEnd(40)} best ${times[0]?.toFixed(0)} ns, median ${times[ROUNDS >> 1]?.toFixed(0)} ns`,
  );
}
if (passed === 0) throw new Error("nothing was measured");
