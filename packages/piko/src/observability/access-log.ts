// One line per request, built by hand and written in batches: a general-purpose logger would make the line cost more than the
// rest of the work on a request. Used by the server's proxy and by the agent's HTTP listeners.

import type { AccessLogConfig } from "../config/access-log.js";
import { LOG_LEVELS, type LogLevel } from "../config/log.js";
import type { AccessLogEntry } from "./access-log-entry.js";
import { goDuration, JsonRequestLine } from "./json-request-line.js";
import { HeaderFields } from "./header-fields.js";
import { formatLine, type LineFormat } from "./log-format.js";
import { fileSink, type LogSink, type Logger } from "./logger.js";
import { prettyHead, prettyValue } from "./pretty.js";
import { showing } from "./shown-fields.js";

export interface AccessLogOptions {
  readonly config: AccessLogConfig;
  readonly logger: Logger;
  /** `proxy.access` on the server, `proxy.http.access` in the agent. */
  readonly subsystem: string;
  /** The endpoint of an agent's listener, which its lines name first. */
  readonly endpointId?: string | undefined;
  /** The node that writes the log. */
  readonly nodeId?: string | undefined;
}

/** Where an access log's lines go, and in which format. Throws if its file can't be opened. */
export function accessLogSink({ format, path }: AccessLogConfig, sink: LogSink): LogSink {
  if (path !== "") {
    const fallback: LineFormat = sink.format === "pretty" ? "json" : sink.format;
    return fileSink(sink, sink.files.open(path), format === "log" ? fallback : format);
  }
  return format === "log" ? sink : { ...sink, format };
}

/** Writes access-log lines. If `enabled` is false, callers needn't collect what a line contains. */
export class AccessLog {
  readonly enabled: boolean;
  readonly #sink: LogSink;
  readonly #subsystem: string;
  readonly #endpointId: string | undefined;
  readonly #nodeId: string | undefined;
  readonly #level: LogLevel;
  readonly #failureLevel: LogLevel;
  readonly #logsSuccess: boolean;
  readonly #logsFailure: boolean;
  readonly #sample: number;
  /** The lines are for people at a terminal: while a screen shows requests, successful ones get no line. */
  readonly #yieldsToScreen: boolean;
  /** State of the generator that picks the sample. */
  #chance = 1;
  readonly #line: JsonRequestLine;
  /** Formats the fields of requests; undefined if no one will see them. */
  readonly requestFields: HeaderFields | undefined = undefined;
  readonly responseFields: HeaderFields | undefined = undefined;

  /** Throws if the log's file can't be opened. */
  constructor({ config, logger, subsystem, endpointId, nodeId }: AccessLogOptions) {
    // The output itself logs that it has dropped lines.
    const { sink } = logger.to(accessLogSink(config, logger.sink));
    this.#sink = sink;
    this.#subsystem = subsystem;
    this.#endpointId = endpointId;
    this.#nodeId = nodeId;
    this.#level = config.level;
    this.#failureLevel =
      LOG_LEVELS.indexOf(config.level) < LOG_LEVELS.indexOf("warn") ? "warn" : config.level;
    this.#logsSuccess = !config.disable && config.sample > 0 && sink.allows(this.#level, subsystem);
    this.#logsFailure = !config.disable && sink.allows(this.#failureLevel, subsystem);
    this.#sample = config.sample;
    this.#yieldsToScreen = config.path === "" && sink.format === "pretty";
    this.enabled = this.#logsSuccess || this.#logsFailure;
    this.#line = new JsonRequestLine({ subsystem, endpointId, nodeId, sample: config.sample });
    if (!this.enabled || sink.format !== "json") return;
    this.requestFields = new HeaderFields("request_headers", showing("request", config.requestHeaders));
    this.responseFields = new HeaderFields("response_headers", showing("response", config.responseHeaders));
  }

  /** Writes a line, unless its level is off or the request isn't in the sample. */
  write(entry: AccessLogEntry): void {
    const { reason } = entry;
    // Responses that were cut can have a status below 500. A client that leaves is not a failure on our side.
    const failed = entry.status >= 500 || (reason !== undefined && reason.side !== "client");
    if (failed ? !this.#logsFailure : !this.#logsSuccess) return;
    const { format, now, output, screen, timestamps } = this.#sink;
    if (screen.recent !== undefined) {
      screen.recent.add(entry, this.#endpointId ?? entry.endpointId, now());
      if (!failed && this.#yieldsToScreen) return;
    }
    if (!failed && !this.#isChosen()) return;
    const ts = timestamps.format(now());
    const level = failed ? this.#failureLevel : this.#level;
    if (format !== "json") {
      output.append(
        format === "pretty" ? this.#prettyLine(entry, level, ts) : this.#plainLine(entry, level, ts),
      );
      return;
    }
    const text = output.begin();
    if (text === undefined) return;
    this.#line.add(text, entry, level, ts, this.responseFields);
    output.end();
  }

  /** Starts to write queued lines; otherwise they are written within 100 ms. */
  flush(): void {
    this.#sink.output.flush();
  }

  /** Resolves when all lines have been written. */
  close(): Promise<void> {
    return this.#sink.output.drain();
  }

  /** Whether a successful request is logged. Not every nth one, because requests can arrive in a regular pattern too. */
  #isChosen(): boolean {
    if (this.#sample >= 1) return true;
    // Lehmer's generator: the numbers only have to be independent of the requests.
    this.#chance = (this.#chance * 48_271) % 0x7fff_ffff;
    return this.#chance < this.#sample * 0x7fff_ffff;
  }

  #prettyLine(entry: AccessLogEntry, level: LogLevel, ts: string): string {
    const { durationMs, method, reason, status, text } = entry;
    const where = prettyValue(this.#endpointId ?? text.host);
    const why = reason === undefined ? "" : ` ${reason.code}`;
    const message = `${prettyValue(method)} ${where} ${prettyValue(text.path)} ${status} ${Math.round(durationMs)}ms${why}`;
    return `${prettyHead(ts, level, this.#subsystem, message, this.#sink.color)}\n`;
  }

  /** Leaves out the header fields. */
  #plainLine(entry: AccessLogEntry, level: LogLevel, ts: string): string {
    const { bytesIn, bytesOut, durationMs, endpointId, headMs, id, method, reason, status, text, tries } =
      entry;
    const fields = {
      "endpoint-id": endpointId === "" ? undefined : endpointId,
      "client-ip": text.clientIp,
      proto: text.protocol,
      method,
      host: text.host,
      path: text.path,
      status,
      duration: goDuration(durationMs),
      "duration-ms": rounded(durationMs),
      "head-ms": headMs < 0 ? undefined : rounded(headMs),
      "bytes-in": bytesIn,
      "bytes-out": bytesOut,
      tries,
      "request-id": id.length === 0 ? undefined : id.toString(),
      "trace-id": entry.trace?.traceId,
      ...entry.servedBy.fields,
      "node-id": this.#nodeId ?? entry.servedBy.fields["node-id"],
      sample: this.#sample < 1 ? this.#sample : undefined,
      reason: reason?.code,
    };
    return formatLine("logfmt", { level, ts, subsystem: this.#subsystem, message: "request", fields }, false);
  }
}

/** Rounds to microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
