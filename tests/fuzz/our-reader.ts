// Reads bytes as the proxy's connections do, with the code of packages/piko/src/http, and returns what it read, why it
// stopped, and the bytes that it would forward: bodies lose their framing, and get a new one.

import { BODY_CHUNKED, requestBody } from "../../packages/piko/src/http/body-framing.js";
import type { Reason } from "../../packages/piko/src/http/reasons.js";
import { BodyReader, type BodySink } from "../../packages/piko/src/http/h1/body-reader.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../../packages/piko/src/http/h1/find-head-end.js";
import { parseRequestHead } from "../../packages/piko/src/http/h1/parse-request-head.js";
import { type ResponseEvents, ResponseReader } from "../../packages/piko/src/http/h1/response-reader.js";
import {
  requestHeadCapacity,
  writeRequestHead,
} from "../../packages/piko/src/http/h1/rewrite-request-head.js";
import {
  responseHeadCapacity,
  writeResponseHead,
} from "../../packages/piko/src/http/h1/rewrite-response-head.js";
import { type ByteSink, writeBody, writeLastChunk } from "../../packages/piko/src/http/h1/write-body.js";
import {
  HEAD_COMPLETE,
  HEAD_INCOMPLETE,
  RequestHead,
  ResponseHead,
} from "../../packages/piko/src/http/head.js";
import type { RequestRewrite } from "../../packages/piko/src/http/request-rewrite.js";
import { ByteBudget } from "../../packages/piko/src/net/byte-budget.js";
import { ResponseFraming } from "../../packages/piko/src/server/clients/response-framing.js";

/** The result of reading a stream of bytes. */
export interface Reading {
  /** The bytes forwarded for each message that was read completely. */
  readonly sent: readonly Buffer[];
  /** `whole` (nothing is left), `incomplete`, `last` (the rest isn't read), or the reason for a refusal. */
  readonly outcome: string;
}

/** The result for a client's stream. */
export interface RequestsReading extends Reading {
  readonly methods: readonly string[];
  /** Where the last request ends. */
  readonly end: number;
}

/** The result for a service's answer. */
export interface ResponseReading extends Reading {
  /** Bytes that had arrived when the response ended. */
  readonly arrived: number;
}

const MAX_FIELDS = 200;
const MAX_HEAD_BYTES = 65_536;
const requestHead = new RequestHead(MAX_FIELDS);
const requestReader = new BodyReader("request");
const finder = new HeadEndFinder();

/** Collects copies: the readers may reuse their memory. */
class Collector implements ByteSink {
  readonly #pieces: Buffer[] = [];

  write(buffer: Buffer, start: number, end: number): void {
    if (end > start) this.#pieces.push(Buffer.from(buffer.subarray(start, end)));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

/** The bytes of one stream, arriving in pieces that end at `cuts` (ascending offsets). */
class Arrivals {
  readonly bytes: Buffer;
  /** Offset of the end of what has arrived so far. */
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

/** Reads `stream` as sent by a client, arriving in pieces. */
export function readRequests(
  stream: Buffer,
  cuts: readonly number[],
  rewrite: RequestRewrite,
): RequestsReading {
  const head = requestHead;
  const body = requestReader;
  // A copy, because reading a chunked body overwrites it.
  const bytes = Buffer.from(stream);
  const arrivals = new Arrivals(bytes, cuts);
  const sent: Buffer[] = [];
  const methods: string[] = [];
  const over = (outcome: string, end: number): RequestsReading => ({ sent, outcome, methods, end });
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
    const collector = new Collector();
    const hasHost = head.hostStart !== head.hostEnd;
    writeHead(head, collector, hasHost ? { ...rewrite, host: undefined } : rewrite);
    const kind = requestBody(head);
    const chunked = kind === BODY_CHUNKED;
    body.reset(kind, head.contentLength);
    const last =
      head.connectionClose || (head.minorVersion === 0 && !head.connectionKeepAlive) || head.upgrade;
    const { method } = head;
    const end = readBody(body, arrivals, head.end, {
      onBody: (buffer, start, stop) => writeBody(collector, chunked, buffer, start, stop),
    });
    if (end < 0) return over(body.error?.code ?? "none", at);
    if (!body.done) return over("incomplete", at);
    if (chunked) writeLastChunk(collector, body.trailers);
    sent.push(collector.bytes);
    methods.push(method);
    at = end;
    if (last) return over("last", at);
  }
}

function writeHead(head: RequestHead, sink: ByteSink, rewrite: RequestRewrite): void {
  const out = Buffer.alloc(requestHeadCapacity(head, rewrite));
  sink.write(out, 0, writeRequestHead(head, out, 0, rewrite));
}

/** Looks for the end of an incomplete head, while more bytes arrive. */
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

/** The client that gets a response. */
export interface Recipient {
  readonly method: string;
  readonly http10: boolean;
}

/** One response on its way to its client. */
class Answer implements ResponseEvents {
  /** How it ended: `whole`, `switch`, or the reason for a refusal. */
  outcome: string | undefined;
  readonly sent = new Collector();
  readonly #recipient: Recipient;
  readonly #framing = new ResponseFraming();

  constructor(recipient: Recipient) {
    this.#recipient = recipient;
  }

  onInform(head: ResponseHead): void {
    if (this.#recipient.http10) return;
    this.#framing.setBodiless(false);
    this.#writeHead(head);
  }

  onSwitch(): boolean {
    this.outcome = "switch";
    return true;
  }

  onResponse(head: ResponseHead, last: boolean): void {
    const { method, http10 } = this.#recipient;
    this.#framing.setFinal(head, method, http10, true);
    this.#writeHead(head);
    if (last) this.outcome = "whole";
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    if (this.outcome === undefined) writeBody(this.sent, this.#framing.chunking, buffer, start, end);
  }

  onResponseEnd(trailers: Buffer | undefined): void {
    if (this.#framing.chunking) writeLastChunk(this.sent, trailers);
    this.outcome ??= "whole";
  }

  onBadResponse(_why: Reason, detail: string): void {
    this.outcome = detail;
  }

  #writeHead(head: ResponseHead): void {
    const { rewrite } = this.#framing;
    const out = Buffer.alloc(responseHeadCapacity(head, rewrite));
    this.sent.write(out, 0, writeResponseHead(head, out, 0, rewrite));
  }
}

const budget = new ByteBudget(Number.POSITIVE_INFINITY);
const limits = { head: new ResponseHead(MAX_FIELDS), maxHeadBytes: MAX_HEAD_BYTES, budget };

/** Reads `bytes` as all that a service sends in answer to a request with this method, up to the end of its connection. */
export function readResponse(bytes: Buffer, cuts: readonly number[], recipient: Recipient): ResponseReading {
  const answer = new Answer(recipient);
  const reader = new ResponseReader(answer, limits);
  reader.begin(recipient.method);
  const arrivals = new Arrivals(bytes, cuts);
  let arrived = 0;
  while (answer.outcome === undefined && arrived < bytes.length) {
    // A copy that is overwritten afterwards: the reader must not keep references to its buffer.
    const piece = Buffer.from(bytes.subarray(arrived, arrivals.end));
    reader.read(piece, 0, piece.length);
    piece.fill("X");
    arrived = arrivals.end;
    arrivals.more();
  }
  if (answer.outcome === undefined) reader.finish();
  reader.stop();
  if (budget.used !== 0) throw new Error(`a reader that has stopped holds ${budget.used} bytes`);
  const whole = answer.outcome === "whole";
  // If the service sent more, it made a mistake, and the connection can't be reused.
  const clean = reader.persistent && arrived === bytes.length;
  const outcome = whole && !clean ? "last" : (answer.outcome ?? "incomplete");
  return { sent: whole ? [answer.sent.bytes] : [], outcome, arrived };
}
