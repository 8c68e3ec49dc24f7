// The line of one request as a JSON object, assembled from bytes. The members of Go Piko keep their names and order; ours follow
// them.

import { formatDuration } from "../base/duration.js";
import { visibleJson } from "../base/visible-text.js";
import type { LogLevel } from "../config/log.js";
import type { AccessLogEntry } from "./access-log-entry.js";
import { ByteText } from "./byte-text.js";
import type { ServedBy } from "./served-by.js";
import type { HeaderFields } from "./header-fields.js";

/** What all lines of one log have in common. */
export interface JsonRequestLineOptions {
  readonly subsystem: string;
  readonly endpointId: string | undefined;
  readonly nodeId: string | undefined;
  /** The fraction of successful requests that get a line. */
  readonly sample: number;
}

export class JsonRequestLine {
  readonly #middle: string;
  readonly #closing: Uint8Array;
  readonly #namesEndpoint: boolean;
  // The first part of the line, as it was for the last timestamp.
  #opening: Uint8Array = Buffer.alloc(0);
  #openingTs = "";
  #openingLevel: LogLevel = "info";
  // The status of the last line.
  #status = 0;
  #statusText: Uint8Array = Buffer.alloc(0);
  /** The end of a line, up to the reason: the last one for each upstream. */
  readonly #tails: WeakMap<ServedBy, Tail> = new WeakMap();

  constructor({ endpointId, nodeId, sample, subsystem }: JsonRequestLineOptions) {
    const first = endpointId === undefined ? "" : `"endpoint-id":${quoted(endpointId)},`;
    this.#middle = `","subsystem":"${subsystem}","msg":"request",${first}`;
    this.#namesEndpoint = endpointId === undefined;
    const node = nodeId === undefined ? "" : `,"node-id":${quoted(nodeId)}`;
    this.#closing = Buffer.from(`${node}${sample < 1 ? `,"sample":${sample}` : ""}`);
  }

  /** Adds the line of a request. `fields` formats the fields of responses. */
  add(line: ByteText, entry: AccessLogEntry, level: LogLevel, ts: string, fields?: HeaderFields): void {
    const { headMs, id, reason, trace } = entry;
    line.add(this.#openingAt(level, ts));
    line.add(entry.text.complete(fields).view);
    if (entry.status !== this.#status) {
      this.#status = entry.status;
      this.#statusText = Buffer.from(`,"status":${entry.status},"duration":"`);
    }
    line.add(this.#statusText);
    const micros = microsOf(entry.durationMs);
    addDuration(line, micros);
    line.add(DURATION_MS);
    addFixed(line, micros, 3);
    if (headMs >= 0) {
      line.add(HEAD_MS);
      addFixed(line, microsOf(headMs), 3);
    }
    if (entry.bytesIn === 0) line.add(NO_BYTES_IN);
    else {
      line.add(BYTES_IN);
      line.addDecimal(entry.bytesIn);
      line.add(BYTES_OUT);
    }
    line.addDecimal(entry.bytesOut);
    const tail = this.#tailOf(entry);
    if (entry.tries === 1 && id.length > 0 && reason === undefined) {
      line.add(ONE_TRY_REQUEST_ID);
      line.add(id.view);
      if (trace !== undefined) {
        line.add(TRACE_ID);
        line.add(trace.idView);
      }
      line.add(tail.afterId);
      return;
    }
    line.add(TRIES);
    line.addDecimal(entry.tries);
    if (id.length > 0) {
      line.add(REQUEST_ID);
      line.add(id.view);
      if (trace !== undefined) {
        line.add(TRACE_ID);
        line.add(trace.idView);
      }
      line.add(QUOTE);
    }
    line.add(tail.bytes);
    if (reason === undefined) line.add(END);
    else line.addLatin1(`,"reason":"${reason.code}"}\n`);
  }

  /** The start of the line. Cached, because many requests end in the same millisecond. */
  #openingAt(level: LogLevel, ts: string): Uint8Array {
    if (ts !== this.#openingTs || level !== this.#openingLevel) {
      this.#opening = Buffer.from(`{"level":"${level}","ts":"${ts}${this.#middle}`);
      this.#openingTs = ts;
      this.#openingLevel = level;
    }
    return this.#opening;
  }

  /** The endpoint, the upstream, and what all lines have in common. */
  #tailOf({ endpointId, servedBy }: AccessLogEntry): Tail {
    const known = this.#tails.get(servedBy);
    if (known !== undefined && known.endpointId === endpointId) return known;
    const endpoint = this.#namesEndpoint && endpointId !== "" ? `,"endpoint-id":${quoted(endpointId)}` : "";
    const bytes = Buffer.concat([Buffer.from(endpoint), servedBy.json, this.#closing]);
    const tail = { endpointId, bytes, afterId: Buffer.concat([QUOTE, bytes, END]) };
    this.#tails.set(servedBy, tail);
    return tail;
  }
}

/** The end of a line, up to the reason. */
interface Tail {
  readonly endpointId: string;
  readonly bytes: Uint8Array;
  /** Everything after a request's id if there is no reason. */
  readonly afterId: Uint8Array;
}

// As few pieces as possible for the typical request: it has no body, and the first upstream answers it.
const DURATION_MS = Buffer.from(`"},"duration-ms":`);
const HEAD_MS = Buffer.from(`,"head-ms":`);
const BYTES_IN = Buffer.from(`,"bytes-in":`);
const NO_BYTES_IN = Buffer.from(`,"bytes-in":0,"bytes-out":`);
const BYTES_OUT = Buffer.from(`,"bytes-out":`);
const TRIES = Buffer.from(`,"tries":`);
const REQUEST_ID = Buffer.from(`,"request-id":"`);
const ONE_TRY_REQUEST_ID = Buffer.from(`,"tries":1,"request-id":"`);
/** Follows the text of a request's id. */
const TRACE_ID = Buffer.from(`","trace-id":"`);
const QUOTE = Buffer.from(`"`);
const END = Buffer.from("}\n");

const POINT = Buffer.from(".");
const SECONDS = Buffer.from("s");
const MILLISECONDS = Buffer.from("ms");
const MICROSECONDS = Buffer.from("µs");

function quoted(text: string): string {
  return visibleJson(JSON.stringify(text));
}

function microsOf(ms: number): number {
  return Math.max(0, Math.round(ms * 1_000));
}

/** A duration to the microsecond, as Go prints it. */
export function goDuration(ms: number): string {
  const text = new ByteText(16);
  addDuration(text, microsOf(ms));
  return text.bytes.toString("utf8", 0, text.length);
}

function addDuration(line: ByteText, micros: number): void {
  if (micros >= 60_000_000) {
    line.addLatin1(formatDuration(micros / 1_000));
  } else if (micros < 1_000) {
    line.addDecimal(micros);
    line.add(micros === 0 ? SECONDS : MICROSECONDS);
  } else if (micros < 1_000_000) {
    addFixed(line, micros, 3);
    line.add(MILLISECONDS);
  } else {
    addFixed(line, micros, 6);
    line.add(SECONDS);
  }
}

/** Adds `value / 10 ** places` without trailing zeros. */
function addFixed(line: ByteText, value: number, places: number): void {
  const scale = places === 3 ? 1_000 : 1_000_000;
  const whole = Math.floor(value / scale);
  line.addDecimal(whole);
  let fraction = value - whole * scale;
  if (places === 3) {
    line.addThousandths(fraction);
    return;
  }
  if (fraction === 0) return;
  let width = places;
  while (fraction % 10 === 0) {
    fraction /= 10;
    width--;
  }
  line.add(POINT);
  line.addDecimal(fraction, width);
}
