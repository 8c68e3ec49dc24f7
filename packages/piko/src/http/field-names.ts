// Numbers for the field names that this program has rules for, determined from a name's bytes without making a string.
// Called once per field line by field-line.ts, and for the tokens of Connection.

import * as ascii from "./ascii.js";

// Local copies: see ascii.ts.
const { TOKEN_LOWER } = ascii;

/** A name that this program has no rules for. */
export const FIELD_OTHER = 0;
export const FIELD_HOST = 1;
export const FIELD_CONNECTION = 2;
export const FIELD_CONTENT_LENGTH = 3;
export const FIELD_TRANSFER_ENCODING = 4;
export const FIELD_UPGRADE = 5;
export const FIELD_EXPECT = 6;
export const FIELD_TE = 7;
export const FIELD_KEEP_ALIVE = 8;
export const FIELD_PROXY_CONNECTION = 9;
export const FIELD_PROXY_AUTHENTICATE = 10;
export const FIELD_PROXY_AUTHORIZATION = 11;
export const FIELD_HTTP2_SETTINGS = 12;
export const FIELD_DATE = 13;
export const FIELD_X_FORWARDED_FOR = 14;
export const FIELD_X_FORWARDED_PROTO = 15;
export const FIELD_X_FORWARDED_HOST = 16;
export const FIELD_FORWARDED = 17;
export const FIELD_X_REAL_IP = 18;
export const FIELD_X_PIKO_ENDPOINT = 19;
export const FIELD_X_PIKO_FORWARD = 20;
export const FIELD_X_PIKO_AUTHORIZATION = 21;
export const FIELD_X_PIKO_TENANT_ID = 22;
export const FIELD_AUTHORIZATION = 23;
export const FIELD_COOKIE = 24;
export const FIELD_CONTENT_ENCODING = 25;
export const FIELD_CONTENT_TYPE = 26;
export const FIELD_SEC_WEBSOCKET_KEY = 27;
export const FIELD_SEC_WEBSOCKET_VERSION = 28;
export const FIELD_X_PIKO_REROUTE = 29;
export const FIELD_X_PIKO_CAPABILITIES = 30;
export const FIELD_X_PIKO_HOP_CAPABILITIES = 31;
export const FIELD_X_PIKO_HOP = 32;
export const FIELD_SEC_WEBSOCKET_ACCEPT = 33;
export const FIELD_X_PIKO_REASON = 34;
export const FIELD_X_REQUEST_ID = 35;
export const FIELD_TRACEPARENT = 36;
export const FIELD_TRACESTATE = 37;

/** Lower-case names, indexed by the FIELD_* numbers. */
export const FIELD_NAMES: readonly string[] = [
  "",
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "expect",
  "te",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "http2-settings",
  "date",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "forwarded",
  "x-real-ip",
  "x-piko-endpoint",
  "x-piko-forward",
  "x-piko-authorization",
  "x-piko-tenant-id",
  "authorization",
  "cookie",
  "content-encoding",
  "content-type",
  "sec-websocket-key",
  "sec-websocket-version",
  "x-piko-reroute",
  "x-piko-capabilities",
  "x-piko-hop-capabilities",
  "x-piko-hop",
  "sec-websocket-accept",
  "x-piko-reason",
  "x-request-id",
  "traceparent",
  "tracestate",
];

// A perfect hash over length, first and last byte: one candidate per name, and one comparison to confirm it. Most other
// names hit an empty slot.
const SLOTS = 256;
const NAME_STRIDE = 32;
const slotOf = (length: number, first: number, last: number): number =>
  (length + first * 5 + last * 29) & (SLOTS - 1);

const CANDIDATES: Uint8Array = new Uint8Array(SLOTS);
const LENGTHS: Uint8Array = new Uint8Array(FIELD_NAMES.length);
const NAME_BYTES: Uint8Array = new Uint8Array(FIELD_NAMES.length * NAME_STRIDE);

FIELD_NAMES.forEach((name, id) => {
  if (id === FIELD_OTHER) return;
  const bytes = Buffer.from(name, "latin1");
  const slot = slotOf(bytes.length, bytes[0] ?? 0, bytes[bytes.length - 1] ?? 0);
  if (CANDIDATES[slot] !== 0) throw new Error(`field name hash: ${name} shares its slot`);
  CANDIDATES[slot] = id;
  LENGTHS[id] = bytes.length;
  NAME_BYTES.set(bytes, id * NAME_STRIDE);
});

/** The FIELD_* number of the token `buffer[start, end)`, in any case. The range must consist of tchars and not be empty. */
export function fieldId(buffer: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const first = TOKEN_LOWER[buffer[start] as number] as number;
  const last = TOKEN_LOWER[buffer[end - 1] as number] as number;
  const id = CANDIDATES[slotOf(length, first, last)] as number;
  if (id === FIELD_OTHER || LENGTHS[id] !== length) return FIELD_OTHER;
  const base = id * NAME_STRIDE;
  for (let i = 1; i < length - 1; i++) {
    if (TOKEN_LOWER[buffer[start + i] as number] !== NAME_BYTES[base + i]) return FIELD_OTHER;
  }
  // The slot doesn't prove the first and last byte. They are compared last because the inner ones differ more often.
  return first === NAME_BYTES[base] && last === NAME_BYTES[base + length - 1] ? id : FIELD_OTHER;
}
