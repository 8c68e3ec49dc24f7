// One line for each request, made by hand and written in batches: with pino, the log would cost more than the rest of
// a request's work. Used by the server's proxy and by the agent's HTTP listeners.

import type { AccessLogConfig } from "../config/access-log.js";
import { formatDuration } from "../config/duration.js";
import { LOG_LEVELS, type LogLevel } from "../config/log.js";
import type { MessageHead } from "../http1/head.js";
import { HeaderFields, latin1OfUtf8, quotable } from "./header-fields.js";
import type { LogSink, Logger } from "./logger.js";
import { prettyHead, prettyValue } from "./pretty.js";

/** A request that was served. */
export interface AccessLogEntry {
  /** Of HTTP/1.0; else of HTTP/1.1. */
  readonly http10: boolean;
  readonly method: string;
  /** Host, path and so on as sent: characters are bytes (latin1). */
  readonly host: string;
  /** Without the query. */
  readonly path: string;
  /** From {@link AccessLog.requestFields}. */
  readonly requestFields: string;
  /** From {@link AccessLog.responseFields}. */
  readonly responseFields: string;
  readonly status: number;
  readonly durationMs: number;
  /** The server's lines name the client: an IP address. */
  readonly clientIp?: string | undefined;
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
  // What is the same in every line, as JSON whose characters are bytes: up to the time stamp, and from there to the client.
  readonly #opening: string;
  readonly #failureOpening: string;
  readonly #middle: string;
  readonly #logsSuccess: boolean;
  readonly #logsFailure: boolean;
  readonly #requests: HeaderFields;
  readonly #responses: HeaderFields;

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
    this.#opening = `{"level":"${this.#level}","ts":"`;
    this.#failureOpening = `{"level":"${this.#failureLevel}","ts":"`;
    const endpoint = endpointId === undefined ? "" : `"endpoint-id":${JSON.stringify(endpointId)},`;
    this.#middle = latin1OfUtf8(`","subsystem":"${subsystem}","msg":"request",${endpoint}`);
    this.#requests = new HeaderFields(config.requestHeaders);
    this.#responses = new HeaderFields(config.responseHeaders);
  }

  /** The request's fields as a line shows them, their characters bytes; to be called while the head is valid. Empty when nobody will see it. */
  requestFields(head: MessageHead): string {
    return this.enabled && this.#sink.format === "json" ? this.#requests.format(head) : "{}";
  }

  /** The response's fields as a line shows them; to be called while the head is valid. */
  responseFields(head: MessageHead): string {
    return this.enabled && this.#sink.format === "json" ? this.#responses.format(head) : "{}";
  }

  /** Writes a line, unless its level is off. */
  write(entry: AccessLogEntry): void {
    const failed = entry.status >= 500;
    if (failed ? !this.#logsFailure : !this.#logsSuccess) return;
    const sink = this.#sink;
    const ts = sink.timestamps.format(sink.now());
    if (sink.format === "pretty") {
      const level = failed ? this.#failureLevel : this.#level;
      const where = prettyValue(this.#endpointId ?? entry.host);
      const message = `${prettyValue(entry.method)} ${where} ${prettyValue(entry.path)} ${entry.status} ${Math.round(entry.durationMs)}ms`;
      sink.output.append(`${prettyHead(ts, level, this.#subsystem, message, sink.colour)}\n`);
      return;
    }
    const client = entry.clientIp === undefined ? "" : `"client-ip":"${entry.clientIp}",`;
    sink.output.appendLatin1(
      `${failed ? this.#failureOpening : this.#opening}${ts}${this.#middle}${client}"request":{"proto":"${entry.http10 ? "HTTP/1.0" : "HTTP/1.1"}","method":"${entry.method}","host":"${quotable(entry.host)}","path":"${quotable(entry.path)}","request_headers":${entry.requestFields},"response_headers":${entry.responseFields},"status":${entry.status},"duration":"${shortDuration(entry.durationMs)}"}}\n`,
    );
  }

  /** Starts to write the lines that wait; they are otherwise written within 100 ms. */
  flush(): void {
    this.#sink.output.flush();
  }

  /** Resolves when all lines are written. */
  close(): Promise<void> {
    return this.#sink.output.drain();
  }
}

const MICRO = latin1OfUtf8("µ");

/**
 * A duration to the microsecond, as Go prints it; characters are bytes. Only whole numbers are printed, which is several
 * times faster.
 */
function shortDuration(ms: number): string {
  const micros = Math.round(ms * 1_000);
  if (micros < 1_000) return micros <= 0 ? "0s" : `${micros}${MICRO}s`;
  if (micros >= 60_000_000) return formatDuration(micros / 1_000);
  const scale = micros < 1_000_000 ? 1_000 : 1_000_000;
  const whole = Math.floor(micros / scale);
  const fraction = micros - whole * scale;
  const unit = scale === 1_000 ? "ms" : "s";
  if (fraction === 0) return `${whole}${unit}`;
  const digits = `${scale + fraction}`;
  let end = digits.length;
  while (digits.charCodeAt(end - 1) === 48) end -= 1;
  return `${whole}.${digits.slice(1, end)}${unit}`;
}
