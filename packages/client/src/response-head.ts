// Parses heads of HTTP/1.1 responses, as the handshake needs them: strictly, and small enough for one buffer.

import { ClientError } from "./errors.js";
import { isTlsAlert } from "./wrong-port.js";

/** Maximum size of a head, in bytes. */
export const MAX_HEAD_BYTES: number = 64 * 1024;

/** A response's status and header fields. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  /** By lower-case name; several fields of one name are joined with ", ". */
  readonly headers: ReadonlyMap<string, string>;
}

/** A head, and the number of bytes that it takes in the buffer. */
export interface ReadHead {
  readonly head: ResponseHead;
  readonly bytes: number;
}

/** The head at the start of `buffer`, or undefined while it is incomplete. Throws PIKO_CLIENT_BAD_RESPONSE. */
export function findResponseHead(buffer: Buffer): ReadHead | undefined {
  // A wrong port is recognized by its first bytes, rather than only when the peer disconnects.
  const start = Math.min(buffer.length, HTTP_VERSION.length);
  if (buffer.toString("latin1", 0, start) !== HTTP_VERSION.slice(0, start)) {
    const tls = isTlsAlert(buffer);
    throw badResponse(
      tls ? "the port requires TLS: the url must begin with https://" : "not an http response",
      !tls,
    );
  }
  const end = buffer.indexOf("\r\n\r\n");
  if (end < 0 || end > MAX_HEAD_BYTES) {
    if (buffer.length > MAX_HEAD_BYTES) throw badResponse(`response head above ${MAX_HEAD_BYTES} bytes`);
    return undefined;
  }
  const lines = buffer.toString("latin1", 0, end).split("\r\n");
  const statusLine = /^HTTP\/1\.[01] ([1-5]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/.exec(lines[0] as string);
  if (statusLine === null) throw badResponse("malformed status line");
  const headers = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const field = FIELD_LINE.exec(lines[i] as string);
    if (field === null) throw badResponse(`malformed header line ${i}`);
    const name = (field[1] as string).toLowerCase();
    const value = field[2] as string;
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  const head = { status: Number(statusLine[1]), reason: statusLine[2] ?? "", headers };
  return { head, bytes: end + 4 };
}

/** Whether a comma-separated field contains a token, in any case. */
export function hasToken(value: string | undefined, token: string): boolean {
  return value?.split(",").some((part) => part.trim().toLowerCase() === token) ?? false;
}

const HTTP_VERSION = "HTTP/1.";
const FIELD_LINE =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*$/;

function badResponse(detail: string, retryable = true): ClientError {
  return new ClientError("PIKO_CLIENT_BAD_RESPONSE", detail, { retryable });
}
