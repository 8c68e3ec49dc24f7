// Converts a request of Node's HTTP server to the Request of a web-standard handler.

import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";

/** Methods that a Request can't have. */
const FORBIDDEN: ReadonlySet<string> = new Set(["CONNECT", "TRACE", "TRACK"]);

/** The authority of a URL, without characters that would end it early. User information isn't allowed. */
const AUTHORITY = /^[^\s/?#@\\]+$/;

/** The response for a request that can't be converted to a Request. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

const NOT_IMPLEMENTED: Refusal = { status: 501, message: "not implemented" };
const BAD_REQUEST: Refusal = { status: 400, message: "invalid host or request target" };

/**
 * Creates the Request. Its path and query are those of the request line, whatever the Host field contains. Its host is that of
 * the Host field, or `localhost` if the field is empty or missing.
 */
export function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request | Refusal {
  const { method = "GET", rawHeaders } = incoming;
  if (FORBIDDEN.has(method)) return NOT_IMPLEMENTED;
  const url = urlOf(incoming);
  if (url === undefined) return BAD_REQUEST;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    headers.append(rawHeaders[i] ?? "", rawHeaders[i + 1] ?? "");
  const { "content-length": length, "transfer-encoding": coding } = incoming.headers;
  const hasBody = method !== "GET" && method !== "HEAD" && (coding !== undefined || Number(length) > 0);
  const body = hasBody ? Readable.toWeb(incoming) : null;
  return new Request(url, { method, headers, body, duplex: "half", signal } as RequestInit);
}

function urlOf(incoming: IncomingMessage): string | undefined {
  const { url = "/", headers } = incoming;
  // A fragment would be lost; well-behaved clients never send one.
  if (url.includes("#")) return undefined;
  if (!url.startsWith("/") && url !== "*") {
    const absolute = /^(https?):\/\/([^/?]*)(.*)$/i.exec(url);
    if (absolute === null) return undefined;
    const [, scheme = "", authority = "", rest = ""] = absolute;
    return join(scheme, authority, rest.startsWith("/") ? rest : `/${rest}`);
  }
  const scheme = headers["x-forwarded-proto"] === "https" ? "https" : "http";
  return join(scheme, headers.host || "localhost", url === "*" ? "/*" : url);
}

function join(scheme: string, authority: string, path: string): string | undefined {
  const origin = `${scheme}://${authority}`;
  return AUTHORITY.test(authority) && URL.canParse(origin) ? origin + path : undefined;
}
