// One line for each request, made by hand and written in batches: with pino, the log would cost more than the rest of
// a request's work. Used by the server's proxy and by the agent's HTTP listeners.

import type { AccessLogConfig } from "../config/access-log.js";
import { formatDuration } from "../base/duration.js";
import { LOG_LEVELS, type LogLevel } from "../config/log.js";
import { visibleJson } from "../base/visible-text.js";
import type { Reason } from "../http/reasons.js";
import type { ByteText } from "./byte-text.js";
import { HeaderFields } from "./header-fields.js";
import type { LogSink, Logger } from "./logger.js";
import { prettyHead, prettyValue } from "./pretty.js";
import type { RequestText } from "./request-text.js";
import { showing } from "./shown-fields.js";

/** A request that was served. */
export interface AccessLogEntry {
  readonly method: string;
  /** What its heads say, gathered with {@link AccessLog.requestFields} and {@link AccessLog.responseFields}. */
  readonly text: RequestText;
  readonly status: number;
  readonly durationMs: number;
  /** Why it failed, if it did. */
  readonly reason: Reason | undefined;
}

/** What an access log needs. */
export interface AccessLogOptions {
  readonly config: AccessLogConfig;
  readonly logger: Logger;
  /** `proxy.access` on the server, `proxy.http.access` in the agent. */
  readonly subsystem: string;
  /** The agent's lines name the endpoint. */
  readonly endpointId?: string | undefined;
}

/** Writes access-log lines. When `enabled` is false, callers need not gather what a line says. */
export class AccessLog {
  readonly enabled: boolean;
  readonly #sink: LogSink;
  readonly #subsystem: string;
  readonly #endpointId: string | undefined;
  readonly #level: LogLevel;
  readonly #failureLevel: LogLevel;
  readonly #middle: string;
  /** The line's first part, as it was at the last time stamp. */
  #opening: Uint8Array = Buffer.alloc(0);
  #openingTs = "";
  /** The status of the last line. */
  #status = 0;
  #statusText: Uint8Array = Buffer.alloc(0);
  readonly #logsSuccess: boolean;
  readonly #logsFailure: boolean;
  /** Formats the fields of requests; undefined when nobody will see them. */
  readonly requestFields: HeaderFields | undefined = undefined;
  readonly responseFields: HeaderFields | undefined = undefined;

  constructor({ config, logger, subsystem, endpointId }: AccessLogOptions) {
    this.#sink = logger.sink;
    this.#subsystem = subsystem;
    this.#endpointId = endpointId;
    this.#level = config.level;
    this.#failureLevel =
      LOG_LEVELS.indexOf(config.level) < LOG_LEVELS.indexOf("warn") ? "warn" : config.level;
    this.#logsSuccess = !config.disable && this.#sink.allows(this.#level, subsystem);
    this.#logsFailure = !config.disable && this.#sink.allows(this.#failureLevel, subsystem);
    this.enabled = this.#logsSuccess || this.#logsFailure;
    const endpoint =
      endpointId === undefined ? "" : `"endpoint-id":${visibleJson(JSON.stringify(endpointId))},`;
    this.#middle = `","subsystem":"${subsystem}","msg":"request",${endpoint}`;
    if (!this.enabled || this.#sink.format !== "json") return;
    this.requestFields = new HeaderFields("request_headers", showing("request", config.requestHeaders));
    this.responseFields = new HeaderFields("response_headers", showing("response", config.responseHeaders));
  }

  /** Writes a line, unless its level is off. */
  write(entry: AccessLogEntry): void {
    const { reason } = entry;
    // Cut responses began with another status; that clients leave is no failure of what is here.
    const failed = entry.status >= 500 || (reason !== undefined && reason.side !== "client");
    if (failed ? !this.#logsFailure : !this.#logsSuccess) return;
    const sink = this.#sink;
    const ts = sink.timestamps.format(sink.now());
    if (sink.format === "pretty") {
      const level = failed ? this.#failureLevel : this.#level;
      const where = prettyValue(this.#endpointId ?? entry.text.host);
      const message = `${prettyValue(entry.method)} ${where} ${prettyValue(entry.text.path)} ${entry.status} ${Math.round(entry.durationMs)}ms${reason === undefined ? "" : ` ${reason.code}`}`;
      sink.output.append(`${prettyHead(ts, level, this.#subsystem, message, sink.colour)}\n`);
      return;
    }
    const line = sink.output.begin();
    if (line === undefined) return;
    line.add(failed ? this.#openingAt(this.#failureLevel, ts) : this.#successOpening(ts));
    line.addFrom(entry.text.complete(this.responseFields));
    if (entry.status !== this.#status) {
      this.#status = entry.status;
      this.#statusText = Buffer.from(`,"status":${entry.status},"duration":"`);
    }
    line.add(this.#statusText);
    addDuration(line, entry.durationMs);
    if (reason === undefined) line.add(END);
    else line.addLatin1(`"},"reason":"${reason.code}"}\n`);
    sink.output.end();
  }

  /** Starts to write the lines that wait; they are otherwise written within 100 ms. */
  flush(): void {
    this.#sink.output.flush();
  }

  /** Resolves when all lines are written. */
  close(): Promise<void> {
    return this.#sink.output.drain();
  }

  /** Many requests end in the same millisecond. */
  #successOpening(ts: string): Uint8Array {
    if (ts !== this.#openingTs) {
      this.#opening = this.#openingAt(this.#level, ts);
      this.#openingTs = ts;
    }
    return this.#opening;
  }

  #openingAt(level: LogLevel, ts: string): Uint8Array {
    return Buffer.from(`{"level":"${level}","ts":"${ts}${this.#middle}`);
  }
}

const END = Buffer.from(`"}}\n`);

const POINT = Buffer.from(".");
const SECONDS = Buffer.from("s");
const MILLISECONDS = Buffer.from("ms");
const MICROSECONDS = Buffer.from("µs");

/** Adds a duration to the microsecond, as Go prints it. */
function addDuration(line: ByteText, ms: number): void {
  const micros = Math.max(0, Math.round(ms * 1_000));
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

/** Adds `value / 10 ** places` without zeros at its end. */
function addFixed(line: ByteText, value: number, places: number): void {
  const scale = places === 3 ? 1_000 : 1_000_000;
  const whole = Math.floor(value / scale);
  line.addDecimal(whole);
  let fraction = value - whole * scale;
  if (fraction === 0) return;
  let width = places;
  while (fraction % 10 === 0) {
    fraction /= 10;
    width--;
  }
  line.add(POINT);
  line.addDecimal(fraction, width);
}
