// Decides from a message's head alone how the end of its body is determined (RFC 9112 section 6.3). Called once per message
// by the code that reads the body, which passes the result to BodyReader.reset.

import type { RequestHead, ResponseHead } from "./head.js";

/** The message ends with its head. */
export const BODY_NONE = 0;
/** `head.contentLength` bytes, at least one. */
export const BODY_LENGTH = 1;
/** Chunks, ending with the last chunk and its trailer section. */
export const BODY_CHUNKED = 2;
/** Everything until the connection ends (responses only). */
export const BODY_UNTIL_CLOSE = 3;

/** The framing of a request's body. A request without framing fields has none. */
export function requestBody(head: RequestHead): number {
  if (head.chunked) return BODY_CHUNKED;
  return head.contentLength > 0 ? BODY_LENGTH : BODY_NONE;
}

/**
 * The framing of the body of a response to a request with this method. A 101 has no body: after it, the connection carries
 * another protocol.
 */
export function responseBody(head: ResponseHead, requestMethod: string): number {
  if (!mayHaveBody(head.status) || requestMethod === "HEAD") return BODY_NONE;
  if (requestMethod === "CONNECT" && head.status < 300) return BODY_NONE;
  if (head.chunked) return BODY_CHUNKED;
  if (head.contentLength === -1) return BODY_UNTIL_CLOSE;
  return head.contentLength > 0 ? BODY_LENGTH : BODY_NONE;
}

/** Whether a response with this status can have a body, unless the request was HEAD. */
export function mayHaveBody(status: number): boolean {
  return status >= 200 && status !== 204 && status !== 304;
}
