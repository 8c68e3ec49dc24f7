// Sends the Response of a web-standard handler with Node's HTTP server: streams its body, and enforces its content-length.

import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";

/**
 * What a handler returns. Any class of this shape is accepted, because programs use several: Node's own, those of the packages
 * undici and node-fetch, and the one with which @hono/node-server replaces Node's.
 */
export interface ResponseLike {
  readonly status: number;
  readonly statusText?: string;
  readonly type?: string;
  readonly headers: Iterable<[string, string]> & {
    getSetCookie?(): string[];
    /** node-fetch's form. */
    raw?(): Record<string, string[]>;
  };
  /** A web stream, or a Node stream. */
  readonly body: AsyncIterable<Uint8Array | string> | null;
}

/** Whether a value has the shape of a Response. */
export function isResponse(value: unknown): value is ResponseLike {
  if (typeof value !== "object" || value === null || !("body" in value)) return false;
  const { status, headers } = value as Partial<ResponseLike>;
  return typeof status === "number" && typeof headers?.[Symbol.iterator] === "function";
}

/** Sends a response. Rejects if its body doesn't match its head; the response may have begun by then. */
export async function sendResponse(
  response: ResponseLike,
  method: string,
  outgoing: ServerResponse,
): Promise<void> {
  if (response.type === "error") throw new TypeError("fetch handler returned Response.error()");
  const { body, status } = response;
  if (!(status >= 200 && status <= 999)) throw new TypeError(`response with status ${status}`);
  outgoing.statusCode = status;
  if (response.statusText) outgoing.statusMessage = response.statusText;
  setHeaders(response.headers, outgoing);
  if (method === "HEAD" || status === 204 || status === 304) {
    outgoing.end();
    await discard(body);
    return;
  }
  const length = announcedLength(outgoing);
  if (body === null) {
    if (length > 0) throw wrongLength("shorter", length);
    outgoing.end();
    return;
  }
  const source = readableOf(body);
  // A client of an event stream needs the head before the first event. A response with length 0 is complete with its head.
  if (length !== 0) outgoing.flushHeaders();
  if (length === -1) await pipeline(source, outgoing);
  else
    await pipeline(
      source,
      (chunks: AsyncIterable<Uint8Array | string>) => ofLength(chunks, length),
      outgoing,
    );
}

function setHeaders(headers: ResponseLike["headers"], outgoing: ServerResponse): void {
  const cookies = headers.getSetCookie?.() ?? headers.raw?.()["set-cookie"];
  for (const [name, value] of headers) {
    if (cookies === undefined || name.toLowerCase() !== "set-cookie") outgoing.setHeader(name, value);
  }
  if (cookies !== undefined && cookies.length > 0) outgoing.setHeader("set-cookie", cookies);
}

/** The content-length that the handler set, or -1. */
function announcedLength(outgoing: ServerResponse): number {
  const value = outgoing.getHeader("content-length");
  if (value === undefined) return -1;
  if (!/^\d+$/.test(String(value)))
    throw new TypeError(`response with an invalid content-length: ${String(value)}`);
  return Number(value);
}

/**
 * Passes on a body that must have exactly this many bytes. The chunk that completes it is held back until the body ends:
 * otherwise a client would take the response for complete although more bytes follow.
 */
async function* ofLength(
  chunks: AsyncIterable<Uint8Array | string>,
  length: number,
): AsyncGenerator<Uint8Array | string, void, void> {
  let left = length;
  let last: Uint8Array | string | undefined;
  for await (const chunk of chunks) {
    const bytes = Buffer.byteLength(chunk);
    if (bytes > left) throw wrongLength("longer", length);
    if (bytes === 0) continue;
    left -= bytes;
    if (left === 0) last = chunk;
    else yield chunk;
  }
  if (left > 0) throw wrongLength("shorter", length);
  if (last !== undefined) yield last;
}

function wrongLength(what: string, length: number): TypeError {
  return new TypeError(`response body is ${what} than its content-length of ${length}`);
}

/** Converts a body of any stream type to a Readable. Throws if it is being read already. */
function readableOf(body: NonNullable<ResponseLike["body"]>): Readable {
  if (body instanceof Readable) return body;
  if ("getReader" in body) return Readable.fromWeb(body as ReadableStream<Uint8Array>);
  return Readable.from(body, { objectMode: false });
}

/** Discards a body that isn't sent. */
async function discard(body: ResponseLike["body"]): Promise<void> {
  if (body instanceof Readable) body.destroy();
  else if (body !== null && "cancel" in body) await (body as ReadableStream).cancel();
}
