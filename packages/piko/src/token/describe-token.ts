// Describes a token in words, without verifying it.

import { formatDuration } from "../base/duration.js";
import { visibleJson, visibleText } from "../base/visible-text.js";
import { readClaims } from "../auth/claims.js";
import { payloadOf, readTokenHeader } from "../auth/token.js";
import { explainReason } from "./refusal-words.js";

/** Claims that get a line of their own. */
const KNOWN: ReadonlySet<string> = new Set(["aud", "exp", "iat", "iss", "jti", "nbf", "piko", "sub"]);
const LABEL_COLUMNS = 12;
const DAY_MS = 86_400_000;

/** Lines for a person; undefined if the text isn't a token at all. */
export function describeToken(token: string, nowMs: number): readonly string[] | undefined {
  const header = parsePart(token, 0);
  const claims = parsePart(token, 1);
  if (header === undefined || claims === undefined) return undefined;
  const time = (name: string, absent: string): string => describeTime(claims[name], nowMs, absent);
  const lines = [
    line(
      "header",
      Object.entries(header)
        .map(([name, value]) => `${name} ${show(value)}`)
        .join(", "),
    ),
    line("subject", show(claims["sub"] ?? "none")),
    line("id", show(claims["jti"] ?? "none")),
    line("issuer", show(claims["iss"] ?? "none")),
    line("audience", list(claims["aud"]) ?? "none"),
    line("endpoints", endpointsOf(claims["piko"])),
    line("issued", time("iat", "unknown")),
    line("valid from", time("nbf", "any time")),
    line("expires", time("exp", "never")),
  ];
  const others = Object.entries(claims).filter(([name]) => !KNOWN.has(name));
  if (others.length > 0) lines.push(line("other", show(Object.fromEntries(others))));
  const problem = findProblem(token);
  if (problem !== undefined) lines.push(line("problem", problem));
  return lines;
}

/** Why every server would reject the token, whatever its keys. */
function findProblem(token: string): string | undefined {
  const header = readTokenHeader(token);
  if ("reason" in header) return explainReason(header.reason);
  return readClaims(payloadOf(token)) === undefined ? explainReason("claims") : undefined;
}

function parsePart(token: string, at: number): Readonly<Record<string, unknown>> | undefined {
  try {
    const json: unknown = JSON.parse(Buffer.from(token.split(".")[at] ?? "", "base64url").toString("utf8"));
    if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
    return json as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

function line(label: string, text: string): string {
  return `${`${label}:`.padEnd(LABEL_COLUMNS)}${visibleText(text)}`;
}

function show(value: unknown): string {
  return typeof value === "string" ? value : visibleJson(JSON.stringify(value));
}

function list(value: unknown): string | undefined {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined;
  return Array.isArray(value) ? value.map(show).join(", ") : show(value);
}

function endpointsOf(piko: unknown): string {
  if (piko === undefined) return "all";
  const endpoints = (piko as { endpoints?: unknown } | null)?.endpoints;
  return list(endpoints) ?? "all";
}

/** `2026-11-30T01:50:00Z (in 23h58m0s)` */
function describeTime(claim: unknown, nowMs: number, absent: string): string {
  if (claim === undefined) return absent;
  const atMs = typeof claim === "number" ? Math.trunc(claim) * 1_000 : Number.NaN;
  if (!(Math.abs(atMs) <= 8.64e15)) return show(claim);
  const when = new Date(atMs).toISOString().replace(".000Z", "Z");
  const distance = describeLength(Math.abs(atMs - nowMs));
  return `${when} (${atMs > nowMs ? `in ${distance}` : `${distance} ago`})`;
}

function describeLength(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)} days`;
  return formatDuration(Math.floor(ms / 1_000) * 1_000);
}
