// The agent's own answers, for requests that the service can't answer.

import { STATUS_CODES } from "node:http";

const cache = new Map<string, Buffer>();

/** A whole response with `{"error":"..."}`. `headOnly`: without the body, for HEAD. */
export function errorResponse(status: number, message: string, headOnly: boolean): Buffer {
  // The texts are a fixed table, so the cache is bounded.
  const key = `${status} ${message} ${headOnly}`;
  let bytes = cache.get(key);
  if (bytes === undefined) {
    const body = `${JSON.stringify({ error: message })}\n`;
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`;
    bytes = Buffer.from(headOnly ? head : head + body, "latin1");
    cache.set(key, bytes);
  }
  return bytes;
}
