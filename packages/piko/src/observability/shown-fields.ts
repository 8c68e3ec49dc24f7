// Which header fields the access log shows: the one place where that is decided. A list of harmless ones, because nobody
// can list all names that services give to their credentials.

import type { HeaderFilterConfig } from "../config/access-log.js";
import { canonicalName } from "./field-name-table.js";
import { isSecretName } from "./redact.js";

/**
 * Fields that say how a message is meant. Not among them: whatever may carry a credential in its value, such as URLs with
 * their query (Referer, Location) and Sec-WebSocket-Protocol, in which browsers send tokens.
 */
const HARMLESS: readonly string[] = [
  // What is wanted
  ...["Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Range", "If-Range"],
  ...["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Expect", "Prefer"],
  ...["User-Agent", "Origin", "Priority", "X-Requested-With", "X-Http-Method-Override"],
  ...["Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Websocket-Version"],
  ...["Access-Control-Request-Headers", "Access-Control-Request-Method"],
  // What the body is
  ...["Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Range"],
  ...["Content-Type", "Etag", "Last-Modified"],
  // What may be done with it
  ...["Age", "Allow", "Cache-Control", "Date", "Expires", "Pragma", "Retry-After", "Vary", "X-Cache"],
  ...["Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin"],
  // Who brings it
  ...["Server", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port"],
  ...["X-Forwarded-Proto", "X-Real-Ip", "X-Piko-Endpoint", "X-Piko-Forward"],
  // Which of many it is
  ...["X-Request-Id", "X-Correlation-Id", "Request-Id", "Traceparent", "X-B3-Traceid", "X-B3-Spanid"],
  ...["X-Amzn-Trace-Id", "X-Cloud-Trace-Context", "Cf-Ray"],
];
/** Fields about one connection. Go Piko's log has them of requests, too, and of responses none. */
const OF_CONNECTION: readonly string[] = ["Connection", "Keep-Alive", "Te", "Upgrade"];
/** That there was a credential is worth a word when somebody looks for the reason of a 401. */
const CREDENTIALS: readonly string[] = [
  ...["Authorization", "Proxy-Authorization", "X-Piko-Authorization", "Cookie", "Set-Cookie"],
];

const REQUEST_FIELDS: ReadonlySet<string> = new Set([...HARMLESS, ...OF_CONNECTION, ...CREDENTIALS]);
const RESPONSE_FIELDS: ReadonlySet<string> = new Set([...HARMLESS, ...CREDENTIALS]);

/** Whether and how a field is shown. */
export type Showing = "not" | "redacted" | "shown";

/**
 * Tells how fields are shown, by their canonical names. What an allow list names is shown even if it isn't known to be
 * harmless, but never if its name says that it is a secret.
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
