// What a user at a terminal sees of a running agent: its endpoints with their tunnels and requests, and the recent
// requests. It is a function from a state to lines, so it can be tested without a terminal.

import type { ListenerProtocol } from "../../base/service-address.js";
import { visibleText } from "../../base/visible-text.js";
import type { RecentRequest } from "../../observability/recent-requests.js";
import { fitLine, type Span, type Style } from "./spans.js";

/** A listener of the agent. */
export interface ListenerStatus {
  /** Where clients reach the endpoint, or its id if that isn't known. */
  readonly reachedAt: string;
  readonly service: string;
  readonly protocol: ListenerProtocol;
  /** Undefined if the service isn't checked. */
  readonly healthy: boolean | undefined;
  readonly open: number;
  readonly wanted: number;
  /** The nodes at the other end of the tunnels: their id (undefined for a Go node), and the round-trip time once it is known. */
  readonly nodes: readonly { readonly id: string | undefined; readonly roundTripMs: number | undefined }[];
  /** Number of finished requests. */
  readonly requests: number;
  readonly perSecond: number;
  /** Number of requests or connections in progress. */
  readonly underWay: number;
}

export interface AgentStatus {
  readonly listeners: readonly ListenerStatus[];
  /** Newest first. */
  readonly recent: readonly RecentRequest[];
}

/** The terminal: its size, and whether it supports colors. */
export interface View {
  readonly columns: number;
  readonly rows: number;
  readonly color: boolean;
}

/** Maximum number of requests shown. */
export const RECENT_REQUESTS = 8;

const LINES_PER_LISTENER = 3;
/** Rows reserved for the log and the cursor. */
const SPARE_ROWS = 2;
/** Shorter times are shown as this. */
const MIN_MS = 0.1;

/** The lines, none wider than the terminal, and fewer than it has rows. */
export function statusLines({ listeners, recent }: AgentStatus, view: View): string[] {
  const room = Math.max(1, view.rows - SPARE_ROWS);
  const lines: (readonly Span[])[] = [];
  if (listeners.length * LINES_PER_LISTENER + 1 <= room) {
    lines.push([], ...listeners.flatMap(fullListener));
  } else {
    const shown = listeners.length <= room ? listeners.length : room - 1;
    lines.push(...listeners.slice(0, shown).map(shortListener));
    if (shown < listeners.length) lines.push([[`and ${listeners.length - shown} more`, "dim"]]);
  }
  const requests = recent.slice(0, Math.max(0, Math.min(RECENT_REQUESTS, room - lines.length - 1)));
  if (requests.length > 0) {
    lines.push([], ...requests.map((request) => requestLine(request, listeners.length > 1)));
  }
  // The last column stays free, because a terminal may wrap a line that uses it.
  return lines.map((line) => fitLine(line, view.columns - 1, view.color));
}

function fullListener(listener: ListenerStatus): (readonly Span[])[] {
  return [
    head(listener),
    [["  "], ...tunnels(listener), ...roundTrips(listener)],
    [["  "], ...load(listener)],
  ];
}

function shortListener(listener: ListenerStatus): readonly Span[] {
  return [...head(listener), ["  "], ...tunnels(listener), [", "], ...load(listener)];
}

function head({ reachedAt, service }: ListenerStatus): Span[] {
  return [
    [visibleText(reachedAt), "bold"],
    [" -> ", "dim"],
    [visibleText(service), "bold"],
  ];
}

function tunnels({ healthy, open, wanted }: ListenerStatus): Span[] {
  if (healthy === false) return [["service is unhealthy, no tunnels", "red"]];
  if (open === 0) return [["no tunnel, reconnecting", "red"]];
  return [[`${open} of ${wanted} tunnel${wanted === 1 ? "" : "s"}`, open < wanted ? "yellow" : "green"]];
}

function roundTrips({ nodes }: ListenerStatus): Span[] {
  return nodes.flatMap(({ id, roundTripMs }, at) => [
    [at === 0 ? "  " : ", "] as const,
    [visibleText(id ?? "node")] as const,
    [roundTripMs === undefined ? "" : ` ${formatMs(roundTripMs)}`, "dim"] as const,
  ]);
}

function load({ perSecond, protocol, requests, underWay }: ListenerStatus): Span[] {
  if (protocol === "tcp") return [[plural(underWay, "connection")]];
  return [
    [plural(requests, "request")],
    [`, ${formatRate(perSecond)}/s`],
    [underWay === 0 ? "" : `, ${grouped(underWay)} in progress`],
  ];
}

function requestLine(request: RecentRequest, withEndpoint: boolean): readonly Span[] {
  const { durationMs, endedMs, endpointId, method, path, reason, status } = request;
  const endpoint: Span[] = withEndpoint ? [[`  ${visibleText(endpointId)}`, "cyan"]] : [];
  return [
    [timeOfDay(endedMs), "dim"],
    ["  "],
    [String(status), statusStyle(status)],
    [`  ${formatMs(durationMs).padStart(7)}`, "dim"],
    ...endpoint,
    [`  ${visibleText(method)} ${visibleText(path)}`],
    [reason === "" ? "" : `  ${reason}`, "red"],
  ];
}

function statusStyle(status: number): Style {
  if (status >= 500) return "red";
  if (status >= 400) return "yellow";
  return "green";
}

function timeOfDay(ms: number): string {
  const date = new Date(ms);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** `0.4 ms`, `12 ms`, `1.5 s`, `2 min` */
function formatMs(ms: number): string {
  if (ms < 9.95) return `${Math.max(MIN_MS, ms).toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 99_950) return `${(ms / 1_000).toFixed(1)} s`;
  return `${grouped(Math.round(ms / 60_000))} min`;
}

function formatRate(perSecond: number): string {
  if (perSecond < 0.05) return "0";
  return perSecond < 9.95 ? perSecond.toFixed(1) : grouped(Math.round(perSecond));
}

function plural(count: number, word: string): string {
  return `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;
}

/** `1,234,567` */
function grouped(count: number): string {
  return String(count).replaceAll(/\B(?=(?:\d{3})+$)/g, ",");
}
