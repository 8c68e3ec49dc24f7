// Reads bytes the way the proxy's connections do, with the code of packages/piko/src/http, and gives what it
// understood, why it stopped, and the bytes that it would send on.

import { requestBody, responseBody } from "../../packages/piko/src/http/body-framing.js";
import { BODY_CHUNKED, BODY_UNTIL_CLOSE } from "../../packages/piko/src/http/body-framing.js";
import { BodyReader, type BodySink } from "../../packages/piko/src/http/h1/body-reader.js";
import { LAST_CHUNK } from "../../packages/piko/src/http/h1/chunk-writer.js";
import { writeBody } from "../../packages/piko/src/http/h1/write-body.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../../packages/piko/src/http/h1/find-head-end.js";
import {
  HEAD_COMPLETE,
  HEAD_INCOMPLETE,
  RequestHead,
  ResponseHead,
} from "../../packages/piko/src/http/head.js";
import { parseRequestHead } from "../../packages/piko/src/http/h1/parse-request-head.js";
import { parseResponseHead } from "../../packages/piko/src/http/h1/parse-response-head.js";
import {
  requestHeadCapacity,
  writeRequestHead,
} from "../../packages/piko/src/http/h1/rewrite-request-head.js";
import type { RequestRewrite } from "../../packages/piko/src/http/request-rewrite.js";
import {
  FRAMING_AS_IS,
  FRAMING_CHUNKED,
  FRAMING_DROP_CHUNKED,
  FRAMING_NONE,
  type ResponseRewrite,
  responseHeadCapacity,
  writeResponseHead,
} from "../../packages/piko/src/http/h1/rewrite-response-head.js";

/** What became of a stream of bytes. */
export interface Reading {
  /** Messages that were understood to their end. */
  readonly messages: number;
  /** Their methods, if they are requests. */
  readonly methods: readonly string[];
  /** What is sent on for each of them. */
  readonly sent: readonly Buffer[];
  /** Where the last of them ends. */
  readonly end: number;
  /** `whole` (nothing is left over), `incomplete`, `last` (what follows isn't read), or the code of a refusal. */
  readonly outcome: string;
  /** The last message asked for another protocol. */
  readonly upgrade: boolean;
}

const MAX_FIELDS = 200;
const requestHead = new RequestHead(MAX_FIELDS);
const responseHead = new ResponseHead(MAX_FIELDS);
const requestReader = new BodyReader("request");
const responseReader = new BodyReader("response");
const finder = new HeadEndFinder();

/** Collects copies: the readers may reuse their memory. */
class Collector implements BodySink {
  pieces: Buffer[] = [];
  chunking = false;

  onBody(buffer: Buffer, start: number, end: number): void {
    if (this.chunking) writeBody(this, true, buffer, start, end);
    else this.write(buffer, start, end);
  }

  write(buffer: Buffer, start: number, end: number): void {
    if (end > start) this.pieces.push(Buffer.from(buffer.subarray(start, end)));
  }
}

/** Arrivals of one stream: its bytes in order, cut at `cuts` (rising offsets). */
class Arrivals {
  readonly bytes: Buffer;
  /** How much has come so far. */
  end: number;
  readonly #cuts: readonly number[];
  #next = 0;

  constructor(bytes: Buffer, cuts: readonly number[]) {
    this.bytes = bytes;
    this.#cuts = cuts;
    this.end = 0;
    this.more();
  }

  more(): boolean {
    if (this.end === this.bytes.length) return false;
    this.end = this.#cuts[this.#next++] ?? this.bytes.length;
    return true;
  }
}

/** `bytes` as a client's, arriving in pieces. */
export function readRequests(bytes: Buffer, cuts: readonly number[], rewrite: RequestRewrite): Reading {
  const head = requestHead;
  const arrivals = new Arrivals(bytes, cuts);
  const sent: Buffer[] = [];
  const methods: string[] = [];
  const over = (outcome: string, end: number, upgrade = false): Reading => ({
    messages: sent.length,
    methods,
    sent,
    end,
    outcome,
    upgrade,
  });
  let at = 0;
  for (;;) {
    if (at === arrivals.end && !arrivals.more()) return over("whole", at);
    let result = parseRequestHead(head, bytes, at, arrivals.end);
    if (result === HEAD_INCOMPLETE) {
      const found = searchHead(arrivals, at);
      if (found === END_UNKNOWN) return over("incomplete", at);
      if (found === END_INVALID) return over(finder.error?.code ?? "none", at);
      result = parseRequestHead(head, bytes, at, arrivals.end);
    }
    if (result !== HEAD_COMPLETE) return over(head.error?.code ?? "none", at);
    const hasHost = head.hostStart !== head.hostEnd;
    const changes = hasHost ? { ...rewrite, missingHost: undefined } : rewrite;
    const out = Buffer.alloc(requestHeadCapacity(head, changes));
    const collector = new Collector();
    collector.write(out, 0, writeRequestHead(head, out, 0, changes));
    const body = requestReader;
    body.reset(requestBody(head), head.contentLength, false);
    const last =
      head.connectionClose || (head.minorVersion === 0 && !head.connectionKeepAlive) || head.upgrade;
    const { method, upgrade } = head;
    const end = readBody(body, arrivals, head.end, collector);
    if (end < 0) return over(body.error?.code ?? "none", at);
    if (!body.done) return over("incomplete", at);
    sent.push(Buffer.concat(collector.pieces));
    methods.push(method);
    at = end;
    if (last) return over("last", at, upgrade);
  }
}

/** Looks for the end of a head that began to come; more arrives until it is there. */
function searchHead(arrivals: Arrivals, at: number): number {
  finder.reset();
  for (;;) {
    const found = finder.find(arrivals.bytes, at, arrivals.end);
    if (found !== END_UNKNOWN || !arrivals.more()) return found;
  }
}

/** Returns the offset after the body, or a negative number. */
function readBody(body: BodyReader, arrivals: Arrivals, start: number, sink: BodySink): number {
  let at = start;
  for (;;) {
    at = body.read(arrivals.bytes, at, arrivals.end, sink);
    if (at < 0 || body.done || !arrivals.more()) return at;
  }
}

/** Who gets a response. */
export interface Recipient {
  readonly method: string;
  readonly http10: boolean;
}

/** `bytes` as a service's whole answer to a request with this method, up to the end of its connection. */
export function readResponse(bytes: Buffer, cuts: readonly number[], { method, http10 }: Recipient): Reading {
  const head = responseHead;
  const arrivals = new Arrivals(bytes, cuts);
  const collector = new Collector();
  const over = (outcome: string, end: number, messages = 0): Reading => ({
    messages,
    methods: [],
    sent: messages === 0 ? [] : [Buffer.concat(collector.pieces)],
    end,
    outcome,
    upgrade: false,
  });
  for (let at = 0; ; ) {
    if (at === arrivals.end && !arrivals.more()) return over("incomplete", at);
    let result = parseResponseHead(head, bytes, at, arrivals.end);
    if (result === HEAD_INCOMPLETE) {
      const found = searchHead(arrivals, at);
      if (found === END_UNKNOWN) return over("incomplete", at);
      if (found === END_INVALID) return over(finder.error?.code ?? "none", at);
      result = parseResponseHead(head, bytes, at, arrivals.end);
    }
    if (result !== HEAD_COMPLETE) return over(head.error?.code ?? "none", at);
    at = head.end;
    if (head.status === 101) return over("switch", at);
    if (head.status < 200) {
      if (!http10) writeHead(head, collector, FRAMING_NONE);
      continue;
    }
    const kind = responseBody(head, method);
    const decode = http10 && kind === BODY_CHUNKED;
    const chunking = kind === BODY_UNTIL_CLOSE && !http10;
    writeHead(head, collector, decode ? FRAMING_DROP_CHUNKED : chunking ? FRAMING_CHUNKED : FRAMING_AS_IS);
    collector.chunking = chunking;
    const body = responseReader;
    body.reset(kind, head.contentLength, decode);
    const end = readBody(body, arrivals, at, collector);
    if (end < 0) return over(body.error?.code ?? "none", at);
    if (!body.finish()) return over("incomplete", at);
    collector.chunking = false;
    if (chunking) collector.write(LAST_CHUNK, 0, LAST_CHUNK.length);
    return over(end === bytes.length ? "whole" : "last", end, 1);
  }
}

function writeHead(head: ResponseHead, collector: Collector, framing: number): void {
  const rewrite: ResponseRewrite = {
    framing,
    connectionClose: false,
    keepAliveHttp10: false,
    dateLine: undefined,
    halfClose: false,
  };
  const out = Buffer.alloc(responseHeadCapacity(head, rewrite));
  collector.write(out, 0, writeResponseHead(head, out, 0, rewrite));
}
