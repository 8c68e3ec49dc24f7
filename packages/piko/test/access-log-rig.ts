// Access logs whose lines a test can read, heads as parsers leave them, and a request's log entry.

import type { AccessLogConfig } from "../src/config/access-log.js";
import type { LogConfig } from "../src/config/log.js";
import { FIELD_OTHER, FIELD_TRACEPARENT } from "../src/http/field-names.js";
import {
  FIELD_ID,
  FIELD_STRIDE,
  LINE_END,
  LINE_START,
  type MessageHead,
  RequestHead,
  ResponseHead,
  NAME_END,
  VALUE_END,
  VALUE_START,
} from "../src/http/head.js";
import type { AccessLogEntry } from "../src/observability/access-log-entry.js";
import { AccessLog } from "../src/observability/access-log.js";
import { ByteText } from "../src/observability/byte-text.js";
import type { HeaderFields } from "../src/observability/header-fields.js";
import { createLogger, type LogSink } from "../src/observability/logger.js";
import { RequestId } from "../src/observability/request-id.js";
import { NOBODY } from "../src/observability/served-by.js";
import { RequestText } from "../src/observability/request-text.js";
import { textOutput } from "./text-output.js";

const now: number = Date.UTC(2026, 10, 23, 17, 11, 43, 7);

export interface Setup {
  readonly log: AccessLog;
  readonly sink: LogSink;
  readonly text: () => Promise<string>;
}

export function setUp(
  access: Partial<AccessLogConfig> = {},
  log: Partial<LogConfig> = {},
  endpointId?: string,
  nodeId?: string,
): Setup {
  const { output, text } = textOutput();
  const config: LogConfig = { level: "info", subsystems: [], format: "json", ...log };
  const logger = createLogger({ config, output, now: () => now });
  const none = { allowList: [], blockList: [] };
  const accessLog = new AccessLog({
    config: {
      level: "info",
      disable: false,
      format: "log",
      path: "",
      sample: 1,
      requestHeaders: none,
      responseHeaders: none,
      ...access,
    },
    logger,
    subsystem: "proxy.access",
    endpointId,
    nodeId,
  });
  return {
    log: accessLog,
    sink: logger.sink,
    text: async () => {
      await accessLog.close();
      return text();
    },
  };
}

export type Fields = readonly (readonly [string, string])[];

/** A request with these fields, in the middle of a larger buffer, as parsers leave it; host and path are latin1. */
export function requestOf(fields: Fields, host = "ep.x", path = "/c"): RequestHead {
  const head = new RequestHead(64);
  head.method = "GET";
  let text = `earlier bytes ${host}`;
  [head.hostStart, head.hostEnd] = [text.length - host.length, text.length];
  head.start = text.length;
  text += "GET ";
  [head.pathStart, head.pathEnd] = [text.length, text.length + path.length];
  text += `${path} HTTP/1.1\r\n`;
  fill(head, text, fields);
  head.requestIdField = fields.findIndex(([name]) => name.toLowerCase() === "x-request-id");
  return head;
}

export function responseOf(fields: Fields): ResponseHead {
  const head = new ResponseHead(64);
  fill(head, "HTTP/1.1 200 OK\r\n", fields);
  return head;
}

function fill(head: MessageHead, start: string, fields: Fields): void {
  let text = start;
  fields.forEach(([name, value], index) => {
    const at = index * FIELD_STRIDE;
    head.fields[at + FIELD_ID] = name.toLowerCase() === "traceparent" ? FIELD_TRACEPARENT : FIELD_OTHER;
    head.fields[at + LINE_START] = text.length;
    head.fields[at + NAME_END] = text.length + name.length;
    head.fields[at + VALUE_START] = text.length + name.length + 2;
    text += `${name}: ${value}`;
    head.fields[at + VALUE_END] = text.length;
    text += " \r\n";
    head.fields[at + LINE_END] = text.length;
  });
  text += "\r\n";
  head.end = text.length;
  head.fieldCount = fields.length;
  head.buffer = Buffer.from(`${text}later bytes`, "latin1");
}

/** The text that a log collects from a request and its response. */
export function textOf(
  log: AccessLog,
  request: RequestHead,
  response?: ResponseHead,
  clientIp?: string,
): RequestText {
  const text = new RequestText();
  text.begin(request, clientIp, log.requestFields);
  if (response !== undefined) text.answer(response, log.responseFields);
  return text;
}

/** How a log shows the header fields of a request or a response. */
export function shown(formatter: HeaderFields | undefined, head: MessageHead): string {
  const text = new ByteText(0);
  formatter?.format(head, text);
  return text.bytes.toString("utf8", 0, text.length).replace(/^,"(request|response)_headers":/, "");
}

const plain = setUp();
export const entry: AccessLogEntry = {
  method: "GET",
  text: textOf(plain.log, requestOf([])),
  status: 200,
  durationMs: 7.307,
  headMs: 6.5,
  bytesIn: 0,
  bytesOut: 2,
  tries: 1,
  id: new RequestId(),
  trace: undefined,
  endpointId: "",
  servedBy: NOBODY,
  reason: undefined,
};
