// Log lines for people: `17:11:43.007 info  proxy.http  upstream connected  endpoint-id=my-endpoint`.

import { visibleJson, visibleText } from "../base/visible-text.js";
import type { LogLevel } from "../config/log.js";

const COLORS: Readonly<Record<LogLevel, string>> = {
  debug: "\u001b[90m",
  info: "\u001b[32m",
  warn: "\u001b[33m",
  error: "\u001b[31m",
};
const DIM = "\u001b[2m";
const RESET = "\u001b[0m";

/** One line without fields, and without its line feed. */
export function prettyHead(
  timestamp: string,
  level: LogLevel,
  subsystem: string,
  message: string,
  color: boolean,
): string {
  const [, clock = "", fraction = "."] = /T([\d:]{8})(\.\d+)?/.exec(timestamp) ?? [];
  const time = clock + fraction.padEnd(4, "0");
  const name = level.padEnd(5);
  const said = visibleText(message);
  if (!color) return `${time} ${name} ${subsystem}  ${said}`;
  return `${DIM}${time}${RESET} ${COLORS[level]}${name}${RESET} ${DIM}${subsystem}${RESET}  ${said}`;
}

/** Fields as `  key=value key="a value"`; empty when there are none. */
export function prettyFields(fields: Readonly<Record<string, unknown>>, color: boolean): string {
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) =>
      color ? `${DIM}${key}=${RESET}${prettyValue(value)}` : `${key}=${prettyValue(value)}`,
    );
  return parts.length === 0 ? "" : `  ${parts.join(" ")}`;
}

/** A value as it is if it is plain, otherwise quoted: a terminal must not interpret bytes from a peer. */
export function prettyValue(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  if (typeof value !== "string") return visibleJson(text);
  return /^[!#-~]+$/.test(text) ? text : visibleJson(JSON.stringify(text));
}
