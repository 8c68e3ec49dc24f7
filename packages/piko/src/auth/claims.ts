// Checks a token's claims once its signature is verified: reads them strictly, then judges them as Go Piko does. In Go, expiry
// takes precedence over every other fault; a claim of a wrong type makes the token invalid.

import { REFUSED, type Refusal } from "./refusal.js";

/** The claims that are checked. Times are in milliseconds since 1970. */
export interface Claims {
  /** Infinity if it never expires. */
  readonly expiresMs: number;
  /** -Infinity if there is no such claim. */
  readonly notBeforeMs: number;
  readonly audience: readonly string[];
  readonly issuer: string;
  readonly subject: string;
  readonly tokenId: string;
  /** Patterns of the endpoints that it permits; empty for all. */
  readonly endpoints: readonly string[];
}

/** What a port or a tenant requires of claims. */
export interface ClaimRules {
  /** Empty if any is accepted. */
  readonly audience: string;
  readonly issuer: string;
  readonly leewayMs: number;
}

/** Names with a meaning here. Go's JSON matches names in any case; so one in another case must not be ignored. */
const NAMES: ReadonlySet<string> = new Set(["exp", "nbf", "iat", "aud", "iss", "sub", "jti", "piko"]);
const PIKO_NAMES: ReadonlySet<string> = new Set(["endpoints"]);

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads a token's payload; undefined if it isn't an object, or a claim has a wrong type. */
export function readClaims(payload: Uint8Array): Claims | undefined {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(payload));
  } catch {
    return undefined;
  }
  const claims = fieldsOf(json, NAMES);
  if (claims === undefined) return undefined;
  const expiresMs = timeOf(claims.get("exp"), Number.POSITIVE_INFINITY);
  const notBeforeMs = timeOf(claims.get("nbf"), Number.NEGATIVE_INFINITY);
  const issuedMs = timeOf(claims.get("iat"), 0);
  const issuer = textOf(claims.get("iss"));
  const subject = textOf(claims.get("sub"));
  const tokenId = textOf(claims.get("jti"));
  const aud = claims.get("aud");
  const audience = typeof aud === "string" ? [aud] : textsOf(aud);
  const endpoints = endpointsOf(claims.get("piko"));
  if (expiresMs === undefined || notBeforeMs === undefined || issuedMs === undefined) return undefined;
  if (issuer === undefined || subject === undefined || tokenId === undefined) return undefined;
  if (audience === undefined || endpoints === undefined) return undefined;
  return { expiresMs, notBeforeMs, audience, issuer, subject, tokenId, endpoints };
}

/** The reason why the claims are invalid at this time; undefined if they are valid. */
export function judgeClaims(claims: Claims, rules: ClaimRules, nowMs: number): Refusal | undefined {
  if (nowMs >= claims.expiresMs + rules.leewayMs) return REFUSED.expired;
  if (nowMs < claims.notBeforeMs - rules.leewayMs) return REFUSED.early;
  if (rules.audience !== "" && !claims.audience.includes(rules.audience)) return REFUSED.audience;
  if (rules.issuer !== "" && claims.issuer !== rules.issuer) return REFUSED.issuer;
  return undefined;
}

/** The members of an object; undefined if it isn't one, or has one of the names in another case. */
function fieldsOf(json: unknown, names: ReadonlySet<string>): Map<string, unknown> | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  const fields = new Map<string, unknown>(Object.entries(json));
  for (const name of fields.keys()) {
    if (!names.has(name) && names.has(name.toLowerCase())) return undefined;
  }
  return fields;
}

/** A NumericDate (RFC 7519 section 2), in whole seconds, as in Go. */
function timeOf(value: unknown, absent: number): number | undefined {
  if (value === undefined) return absent;
  return typeof value === "number" && Number.isFinite(value) ? Math.trunc(value) * 1_000 : undefined;
}

function textOf(value: unknown): string | undefined {
  if (value === undefined) return "";
  return typeof value === "string" ? value : undefined;
}

function textsOf(value: unknown): readonly string[] | undefined {
  if (value === undefined) return [];
  return Array.isArray(value) && value.every((each) => typeof each === "string") ? value : undefined;
}

/** Go programs encode an omitted list as null, which also means all endpoints. */
function endpointsOf(piko: unknown): readonly string[] | undefined {
  if (piko === undefined || piko === null) return [];
  const fields = fieldsOf(piko, PIKO_NAMES);
  return fields === undefined ? undefined : textsOf(fields.get("endpoints") ?? undefined);
}
