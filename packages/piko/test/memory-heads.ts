// Parsed heads from text, each in the middle of a larger buffer, as in read buffers.

import { HEAD_COMPLETE, RequestHead, ResponseHead } from "../src/http/head.js";
import { parseRequestHead } from "../src/http/h1/parse-request-head.js";
import { parseResponseHead } from "../src/http/h1/parse-response-head.js";

const MAX_FIELDS = 100;

/** Parses a request line and field lines, without the empty line. */
export function requestHead(text: string): RequestHead {
  const head = new RequestHead(MAX_FIELDS);
  const bytes = Buffer.from(`..${text}\r\n\r\n..`, "latin1");
  if (parseRequestHead(head, bytes, 2, bytes.length - 2) !== HEAD_COMPLETE)
    throw new Error(`no head: ${text}`);
  return head;
}

/** Parses a status line and field lines, without the empty line. */
export function responseHead(text: string): ResponseHead {
  const head = new ResponseHead(MAX_FIELDS);
  const bytes = Buffer.from(`..${text}\r\n\r\n..`, "latin1");
  if (parseResponseHead(head, bytes, 2, bytes.length - 2) !== HEAD_COMPLETE)
    throw new Error(`no head: ${text}`);
  return head;
}
