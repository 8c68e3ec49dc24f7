// Decides which header fields the access log shows. It is a list of harmless ones, because no one can list all the names that
// services give to their credentials.

import type { HeaderFilterConfig } from "../config/access-log.js";
import { canonicalName } from "./field-name-table.js";
import { isSecretName } from "./redact.js";

/**
 * Fields that describe a message. Not included are fields that may carry a credential in their value, such as URLs with a query
 * (Referer, Location), and Sec-WebSocket-Protocol, in which browsers send tokens.
 */
const HARMLESS: readonly string[] = [
  // What the client wants
  ...["Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Range", "If-Range"],
  ...["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Expect", "Prefer"],
  ...["User-Agent", "Origin", "Priority", "X-Requested-With", "X-Http-Method-Override"],
  ...["Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Websocket-Version"],
  ...["Access-Control-Request-Headers", "Access-Control-Request-Method"],
  // What the body is
  ...["Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Range"],
  ...["Content-Type", "Etag", "Last-Modified"],
  // How it may be used
  ...["Age", "Allow", "Cache-Control", "Date", "Expires", "Pragma", "Retry-After", "Vary", "X-Cache"],
  ...["Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin"],
  // Where it comes from
  ...["Server", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port"],
  ...["X-Forwarded-Proto", "X-Real-Ip", "X-Piko-Endpoint", "X-Piko-Forward"],
  // Identifiers
  ...["X-Request-Id", "X-Correlation-Id", "Request-Id", "Traceparent", "X-B3-Traceid", "X-B3-Spanid"],
  ...["X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "Cf-Ray"],
];
/** Fields about one connection. As in Go Piko's log, they are shown for requests and not for responses. */
const OF_CONNECTION: readonly string[] = ["Connection", "Keep-Alive", "Te", "Upgrade"];
/** That there was a credential is worth knowing when someone looks for the reason of a 401. */
const CREDENTIALS: readonly string[] = [
  ...["Authorization", "Proxy-Authorization", "X-Piko-Authorization", "Cookie", "Set-Cookie"],
];

const REQUEST_FIELDS: ReadonlySet<string> = new Set([...HARMLESS, ...OF_CONNECTION, ...CREDENTIALS]);
const RESPONSE_FIELDS: ReadonlySet<string> = new Set([...HARMLESS, ...CREDENTIALS]);

/** Whether and how a field is shown. */
export type Showing = "not" | "redacted" | "shown";

/**
 * Returns how fields are shown, by their canonical names. A field on the allow list is shown even if it isn't known to be
 * harmless, but its value never is if its name suggests a secret.
 */
export function showing(
  message: "request" | "response",
  filter: HeaderFilterConfig,
): (canonical: string) => Showing {
  const allow = new Set(filter.allowList.map(canonicalName));
  const block = new Set(filter.blockList.map(canonicalName));
  const known = message === "request" ? REQUEST_FIELDS : RESPONSE_FIELDS;
  return (name) => {
    const shown = allow.size > 0 ? allow.has(name) : known.has(name) && !block.has(name);
    if (!shown) return "not";
    return isSecretName(name) ? "redacted" : "shown";
  };
}
