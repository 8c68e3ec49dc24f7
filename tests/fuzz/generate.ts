// Cases for the fuzzer: streams of requests and single answers of services, made by a grammar that knows what parsers
// have disagreed about, then damaged byte by byte. A case depends on nothing but the seed and its number.

import { SeededRandom } from "../../packages/testkit/src/seeded-random.js";

export interface RequestCase {
  readonly kind: "request";
  readonly bytes: Buffer;
  /** Where the bytes are cut on their way, rising. */
  readonly cuts: readonly number[];
  readonly forwardedProto: string | undefined;
  readonly forwardedHost: string | undefined;
}

export interface ResponseCase {
  readonly kind: "response";
  readonly bytes: Buffer;
  readonly cuts: readonly number[];
  readonly method: string;
  readonly http10: boolean;
}

export type FuzzCase = RequestCase | ResponseCase;

/** Case number `index` of a seed. */
export function generateCase(seed: number, index: number): FuzzCase {
  const random = new SeededRandom(
    (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index, 0x85ebca6b) ^ Math.floor(index / 0x1_0000_0000)) >>> 0,
  );
  if (random.int(0, 3) === 0) {
    const bytes = Buffer.from(mutate(random, responseText(random)), "latin1");
    const method = random.pick(["GET", "GET", "HEAD", "POST"]);
    return {
      kind: "response",
      bytes,
      cuts: cuts(random, bytes.length),
      method,
      http10: random.int(0, 3) === 0,
    };
  }
  let text = "";
  for (let count = random.int(1, 3); count > 0; count--) text += requestText(random);
  const bytes = Buffer.from(mutate(random, text), "latin1");
  return {
    kind: "request",
    bytes,
    cuts: cuts(random, bytes.length),
    forwardedProto: random.int(0, 1) === 0 ? undefined : "http",
    forwardedHost: random.int(0, 1) === 0 ? undefined : "front.test",
  };
}

const METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "M-SEARCH"];
const ODD_METHODS = [
  "get",
  "G ET",
  "",
  "FOO",
  "CONNECT",
  "PRI",
  "GET\t",
  "GE\0T",
  "A".repeat(40),
  "\xe9",
  "SOURCE",
];
const TARGETS = [
  "/",
  "/",
  "/a",
  "/a?b",
  "/b/c",
  "/?x=http://h/",
  "/a?b=%20|c",
  "/%",
  "//a",
  "/a/../b",
  "/?",
  "http://h/x?y",
  "http://h",
  "HTTPS://h:1/",
  "*",
];
const ODD_TARGETS = [
  "/a b",
  "/\xe9",
  "x",
  "",
  "http://u@h/",
  "/a#b",
  "h:80",
  "http://",
  "http:///x",
  "ftp://h/",
  "/\t",
  "/\x7f",
  "http://[::1]:80/",
  "http://h?q",
  "http://i/",
  "\\",
  "http://h\\@i/",
];
const VERSIONS = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"];
const ODD_VERSIONS = [
  "HTTP/1.2",
  "HTTP/2.0",
  "HTTP/0.9",
  "http/1.1",
  "HTTP/1.1 ",
  "HTTP/11",
  "",
  "HTTP/1,1",
  "HTTP/1.10",
  "ICE/1.0",
  "RTSP/1.0",
];
const HOSTS = [
  "Host: h",
  "Host: h",
  "Host: h",
  "Host: h",
  "Host: h",
  "Host: h",
  "host:h",
  "HOST: \th\t ",
  "Host: h:80",
  "Host:",
];
const ODD_HOSTS = [
  "Host: h\r\nHost: h",
  "Host: a b",
  "Host : h",
  "X: y",
  "Host: h, i",
  "Host: u@h",
  "Host: h/x",
  "Host: [::1]",
  "Host: h:99999",
  "Host: \xe9",
  " Host: h",
];
const NAMES = [
  "A",
  "x-y",
  "Accept",
  "Cookie",
  "Content-Type",
  "X_Forwarded_For",
  "x-piko-endpoint",
  "x-piko-forward",
  "x-piko-hop-capabilities",
  "x-piko-reroute",
  "X-Piko-Tenant-Id",
  "x_piko_forward",
  "X-Forwarded-For",
  "x-forwarded-proto",
  "X-Forwarded-Host",
  "Forwarded",
  "Max-Forwards",
  "Via",
  "Keep-Alive",
  "Proxy-Connection",
  "Proxy-Authorization",
  "TE",
  "Trailer",
  "Expect",
  "Upgrade",
  "HTTP2-Settings",
  "Date",
  "Range",
  "Content_Length",
  "Transfer_Encoding",
  "!#$%&'*+.^_`|~09",
  "Content-Lengt",
  "ransfer-Encoding",
];
const UPGRADES = [
  "websocket",
  "websocket",
  "h2c",
  "H2C ",
  "websocket, h2c",
  "HTTP/2.0",
  "TLS/1.0",
  "x/1, y",
  "http",
  "h2",
  "h2cc",
  "",
  "tls /1",
];
const VALUES = [
  "",
  "x",
  "a, b",
  "close",
  "trailers",
  "100-continue",
  "1.2.3.4",
  "websocket",
  "h2c",
  "timeout=5",
  "\xe9\xff",
  "a\tb",
  '"q;,"',
  ":",
  "chunked",
  "0",
  "\t x \t",
  "a  b",
  "http://x/y?z",
  "trailers, deflate;q=0.5",
];
const CONNECTIONS = [
  "close",
  "keep-alive",
  "upgrade",
  "Upgrade, close",
  "x-y",
  "A, close",
  "te",
  ",,",
  "content-length",
  "host",
  "x-forwarded-for",
  "transfer-encoding",
  "keep-alive, Keep-Alive",
  "TE, x",
  "a b",
  "close\t",
  ", upgrade ,",
  "cookie",
  "x-piko-forward",
];
const LENGTHS = [
  "0",
  "1",
  "4",
  "5",
  "05",
  "000000000000000000005",
  "+5",
  "-1",
  "0x5",
  "5,5",
  "5, 5",
  "5 5",
  "",
  "5;",
  "5.0",
  "1e1",
  "9007199254740991",
  "9007199254740992",
  "18446744073709551616",
  "18446744073709551621",
  "5\t",
  " 5 ",
  "\x0b5",
  "\xb2",
  "5\0",
];
const ENCODINGS = [
  "chunked",
  "chunked",
  "chunked",
  "CHUNKED",
  "chunked, identity",
  "identity",
  "gzip, chunked",
  "chunked, chunked",
  "xchunked",
  "chunkedx",
  '"chunked"',
  "chunked;q=1",
  "\x0bchunked",
  "chunked\x0c",
  ",chunked",
  "chunked,",
  "",
  "\xa0chunked",
  "chunk ed",
  "chunked\0",
  " chunked ",
  "\tchunked\t",
  "trailers",
];
const ODD_LINES = [
  "A : b",
  " A: b",
  "A: b\r\n c",
  "A: b\r\n\tc",
  "A",
  ": b",
  "A\0: b",
  "A: \0",
  "A: \x7f",
  "A: \x0b",
  "A: b\rc",
  "A: b\nC: d",
  "A\xe9: b",
  "A\t: b",
  "A;: b",
  "(A): b",
  "A: b\r",
  "A: b\r\r",
  "\r",
  "\n",
];
const SEPARATORS = [": ", ": ", ": ", ":", ":  ", ":\t"];

function fieldLine(random: SeededRandom): string {
  switch (random.int(0, 15)) {
    case 0:
      return random.pick(ODD_LINES);
    case 1:
      if (random.int(0, 1) === 0) {
        return `Connection: Upgrade\r\nUpgrade${random.pick(SEPARATORS)}${random.pick(UPGRADES)}`;
      }
      return `Connection${random.pick(SEPARATORS)}${random.pick(CONNECTIONS)}`;
    default:
      return `${random.pick(NAMES)}${random.pick(SEPARATORS)}${random.pick(VALUES)}`;
  }
}

const FRAMING_NAMES = ["Content-Length", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING"];
const ODD_FRAMING_NAMES = [
  "Content-Length ",
  "Transfer-Encoding\t",
  "Transfer-Encoding\0",
  " Content-Length",
  "Content-Length:",
  "Transfer\xadEncoding",
  "Transfer-Encoding\r\n",
];

/** Framing fields and a body that agree, mostly; and often enough ones that don't. */
function framedBody(random: SeededRandom, fields: string[]): string {
  switch (random.int(0, 9)) {
    case 0:
    case 1:
    case 2: {
      const body = content(random);
      fields.push(`Content-Length${random.pick(SEPARATORS)}${body.length}`);
      return body;
    }
    case 3:
    case 4:
    case 5:
      fields.push(
        `${random.pick(FRAMING_NAMES.slice(2))}${random.pick(SEPARATORS)}${random.int(0, 3) === 0 ? random.pick(ENCODINGS) : "chunked"}`,
      );
      return chunks(random);
    case 6: {
      const count = random.int(1, 2);
      for (let i = 0; i < count; i++) {
        const name = random.int(0, 3) === 0 ? random.pick(ODD_FRAMING_NAMES) : random.pick(FRAMING_NAMES);
        const values = /^.?t/i.test(name) ? ENCODINGS : LENGTHS;
        fields.push(`${name}${random.pick(SEPARATORS)}${random.pick(values)}`);
      }
      return random.int(0, 1) === 0 ? chunks(random) : content(random);
    }
    case 7:
      return content(random);
    default:
      return "";
  }
}

const CONTENTS = [
  "",
  "hello",
  "x",
  "0\r\n\r\n",
  "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  "\r\n",
  "\0\xff",
];

function content(random: SeededRandom): string {
  return random.pick(CONTENTS);
}

const EXTENSIONS = [
  "",
  "",
  "",
  "",
  ";a",
  ";a=b",
  ';a="b;\\"c"',
  ";a;b=c",
  "; a",
  ";",
  " ",
  ";a=",
  ';a="',
  ";a\0",
  ";a=b c",
  '"',
  ";a\n",
  ";\xe9",
  ';a="\t"',
  "\t;a",
  "  ",
  ' ; a = "b " ; c',
];
const LINE_ENDS = ["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "", "\r\r\n", " \r\n"];
const SIZES = [
  "5",
  "0x5",
  "+5",
  "-1",
  "05",
  "00000000000000005",
  "fffffffffffffffff",
  "5_0",
  "",
  "G",
  " 5",
  "\t5",
  "8000000000000000",
  "100000005",
];
const TRAILERS = [
  "A: b\r\n",
  "X-Sum: 1\r\nB:c\r\n",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Host: i\r\n",
  "x-piko-forward: true\r\n",
  "Cookie: a\r\n",
  "A : b\r\n",
  " A: b\r\n",
  "A: b\n",
  "A: \0\r\n",
  "A\r\n",
  "GET /evil HTTP/1.1\r\n",
];

function chunks(random: SeededRandom): string {
  const odd = random.int(0, 3) === 0;
  let text = "";
  for (let count = random.int(0, 2); count > 0; count--) {
    const data = content(random);
    if (data === "") continue;
    const size = odd && random.int(0, 2) === 0 ? random.pick(SIZES) : data.length.toString(16);
    const extension = odd ? random.pick(EXTENSIONS) : "";
    text += `${size}${extension}${odd ? random.pick(LINE_ENDS) : "\r\n"}${data}${odd ? random.pick(LINE_ENDS) : "\r\n"}`;
  }
  const trailers = random.int(0, 2) === 0 ? random.pick(TRAILERS) : "";
  const last = odd ? `${random.pick(["0", "00", "000", "-0", ""])}${random.pick(EXTENSIONS)}` : "0";
  return `${text}${last}\r\n${trailers}\r\n`;
}

/** Mostly one of the first list. */
function usually(random: SeededRandom, usual: readonly string[], odd: readonly string[]): string {
  return random.int(0, 19) === 0 ? random.pick(odd) : random.pick(usual);
}

function requestText(random: SeededRandom): string {
  const front = random.int(0, 29) === 0 ? random.pick(["\r\n", "\r\n\r\n", "\n", "\r", " "]) : "";
  const line = `${usually(random, METHODS, ODD_METHODS)} ${usually(random, TARGETS, ODD_TARGETS)} ${usually(random, VERSIONS, ODD_VERSIONS)}`;
  const fields = [usually(random, HOSTS, ODD_HOSTS)];
  for (let count = random.int(0, 3); count > 0; count--) fields.push(fieldLine(random));
  const body = framedBody(random, fields);
  return `${front}${line}\r\n${random.shuffle(fields).join("\r\n")}\r\n\r\n${body}`;
}

const STATUSES = [
  "200 OK",
  "200 OK",
  "200 OK",
  "404 Not Found",
  "500 ",
  "200",
  "204 No Content",
  "304 Not Modified",
  "206 \xe9",
  "301 a\tb",
  "426 Upgrade Required",
  "600 X",
  "999 X",
];
const ODD_STATUSES = [
  "0200 OK",
  "20 OK",
  "2000 X",
  "200\tOK",
  "099 X",
  "101 Switching Protocols",
  "-200 OK",
  "200 O\0K",
  "200 O\rK",
  "099",
  "",
];
const INTERIM = [
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
  "HTTP/1.1 102 P\r\nContent-Length: 5\r\n\r\n",
  "HTTP/1.1 199 X\r\nTransfer-Encoding: chunked\r\n\r\n",
  "HTTP/1.0 100 C\r\n\r\n",
  "HTTP/1.1 100\r\n\r\n",
];

function responseText(random: SeededRandom): string {
  let text = "";
  if (random.int(0, 7) === 0)
    for (let count = random.int(1, 3); count > 0; count--) text += random.pick(INTERIM);
  const fields: string[] = [];
  for (let count = random.int(0, 3); count > 0; count--) fields.push(fieldLine(random));
  const body = framedBody(random, fields);
  const line = `${usually(random, VERSIONS, ODD_VERSIONS)} ${usually(random, STATUSES, ODD_STATUSES)}`;
  const lines = [line, ...random.shuffle(fields), "", ""].join("\r\n");
  const behind =
    random.int(0, 9) === 0
      ? random.pick(["garbage", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
      : "";
  return `${text}${lines}${body}${behind}`;
}

const SPLINTERS = [
  "\r",
  "\n",
  "\r\n",
  " ",
  "\t",
  "\0",
  ":",
  ",",
  ";",
  "0",
  "5",
  "a",
  "\x7f",
  "\xff",
  "\x0b",
  "\x0c",
  '"',
  "\\",
  "-",
  "\r\n\r\n",
  "\r\n ",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
];

/** Half of the texts stay whole; the others are damaged in up to four places. */
function mutate(random: SeededRandom, text: string): string {
  let damaged = text;
  for (let edits = random.int(-6, 4); edits > 0; edits--) {
    const at = random.int(0, damaged.length);
    const length = random.int(1, 4) === 1 ? random.int(0, 16) : 1;
    switch (random.int(0, 5)) {
      case 0:
        damaged = damaged.slice(0, at) + damaged.slice(at + length);
        break;
      case 1:
        damaged = damaged.slice(0, at) + damaged.slice(at, at + length) + damaged.slice(at);
        break;
      case 2:
        damaged = damaged.slice(0, at) + String.fromCharCode(random.int(0, 255)) + damaged.slice(at + 1);
        break;
      case 3:
        damaged = damaged.slice(0, at);
        break;
      default: {
        const replaced = random.int(0, 1);
        damaged = damaged.slice(0, at) + random.pick(SPLINTERS) + damaged.slice(at + replaced);
      }
    }
  }
  return damaged;
}

function cuts(random: SeededRandom, length: number): number[] {
  const offsets: number[] = [];
  for (let count = random.int(0, 3); count > 0; count--) {
    const offset = random.int(1, length);
    if (offset < length && !offsets.includes(offset)) offsets.push(offset);
  }
  return offsets.sort((a, b) => a - b);
}
