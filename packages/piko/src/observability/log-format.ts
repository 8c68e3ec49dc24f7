// Formats log lines, except those of requests in JSON: as a JSON object, as logfmt, or as short lines for people.

import { visibleJson } from "../base/visible-text.js";
import type { LogLevel } from "../config/log.js";
import { prettyFields, prettyHead } from "./pretty.js";

export type LineFormat = "json" | "logfmt" | "pretty";

export interface LogLine {
  readonly level: LogLevel;
  readonly ts: string;
  readonly subsystem: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A line with its line feed. `color` applies to `pretty` only. */
export function formatLine(format: LineFormat, line: LogLine, color: boolean): string {
  const { fields, level, message, subsystem, ts } = line;
  switch (format) {
    case "json":
      return `${visibleJson(JSON.stringify({ level, ts, subsystem, msg: message, ...fields }))}\n`;
    case "logfmt":
      return `${logfmt({ level, ts, subsystem, msg: message, ...fields })}\n`;
    case "pretty":
      return `${prettyHead(ts, level, subsystem, message, color)}${prettyFields(fields, color)}\n`;
  }
}

/** `key=value key="a value"`; undefined values are left out. */
export function logfmt(fields: Readonly<Record<string, unknown>>): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) parts.push(`${key}=${logfmtValue(value)}`);
  }
  return parts.join(" ");
}

function logfmtValue(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return /^[!#-<>-~]+$/.test(text) ? text : visibleJson(JSON.stringify(text));
}
