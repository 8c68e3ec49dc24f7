// The parsed head of an HTTP/1.1 message: offsets into the bytes that were read, and what the framing rules need. A
// parser reuses one object for all heads. It is valid until the next parse, and never after the read callback returns,
// because the bytes that it points into are reused.

import type { HttpError } from "./errors.js";

/** The bytes end before the head is complete; parse again with more. */
export const HEAD_INCOMPLETE = 0;
/** The head is filled in. */
export const HEAD_COMPLETE = 1;
/** The head is refused; `error` has the reason. */
export const HEAD_INVALID = 2;

/** Numbers per field in {@link MessageHead.fields}. */
export const FIELD_STRIDE = 6;
/** Offsets inside one field's record: first byte of the line (and of the name). */
export const LINE_START = 0;
/** One past the last byte of the name. That is the colon, except where a response has white space before the colon. */
export const NAME_END = 1;
/** First byte of the value, after optional white space. */
export const VALUE_START = 2;
/** One past the last byte of the value, before optional white space. */
export const VALUE_END = 3;
/** One past the line's LF. */
export const LINE_END = 4;
/** One of the `FIELD_*` numbers of field-names.ts; FIELD_OTHER (0) for a name that this program has no rules for. */
export const FIELD_ID = 5;

/** In place of a field's index: there are several fields of this name, and it allows only one. */
export const FIELD_REPEATED = -2;

/** The common part of request and response heads. All offsets are into `buffer`. */
export class MessageHead {
  buffer: Buffer;
  /** First byte of the start line. */
  start: number;
  /** One past the blank line: the first byte of the body. */
  end: number;
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  minorVersion: number;
  fieldCount: number;
  /** `fieldCount` records of FIELD_STRIDE numbers. */
  fields: Int32Array;
  /** The one valid Content-Length, or -1. */
  contentLength: number;
  /** Transfer-Encoding is exactly `chunked`. */
  chunked: boolean;
  /** Connection lists `close`. */
  connectionClose: boolean;
  /** Connection lists `keep-alive`. */
  connectionKeepAlive: boolean;
  /** HTTP/1.1, Connection lists `upgrade`, and there is one non-empty Upgrade field; a request's doesn't list HTTP itself. */
  upgrade: boolean;
  /** Connection lists a token besides close, keep-alive, upgrade and te, so every field has to be looked up in it. */
  connectionNamesFields: boolean;
  /** Total length of all Connection values. It is limited, because every field may have to be looked up in them. */
  connectionBytes: number;
  /** Index of the first `upgrade` field, or -1. */
  upgradeField: number;
  /** Index of a request's `x-request-id` field, or -1 (the first one counts). */
  requestIdField: number;
  /** Why the last parse refused the head, if it returned HEAD_INVALID. */
  error: HttpError | undefined;

  constructor(maxFields: number) {
    this.buffer = EMPTY;
    this.start = 0;
    this.end = 0;
    this.minorVersion = 1;
    this.fieldCount = 0;
    this.fields = new Int32Array(maxFields * FIELD_STRIDE);
    this.contentLength = -1;
    this.chunked = false;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.upgrade = false;
    this.connectionNamesFields = false;
    this.connectionBytes = 0;
    this.upgradeField = -1;
    this.requestIdField = -1;
    this.error = undefined;
  }

  /** Forgets the last message. Called by the parsers at the start of a parse. */
  protected resetMessage(buffer: Buffer, start: number): void {
    this.buffer = buffer;
    this.start = start;
    this.end = start;
    this.minorVersion = 1;
    this.fieldCount = 0;
    this.contentLength = -1;
    this.chunked = false;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.upgrade = false;
    this.connectionNamesFields = false;
    this.connectionBytes = 0;
    this.upgradeField = -1;
    this.requestIdField = -1;
    this.error = undefined;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

/** The head of a request. */
export class RequestHead extends MessageHead {
  /** The method with its case as sent; common ones are interned strings. */
  method = "";
  /** The request target exactly as sent. */
  targetStart = 0;
  targetEnd = 0;
  /**
   * Path and query in origin form (`*` for the asterisk form); equal to the target unless that is absolute. An absolute
   * target may lack the path (`http://h`, `http://h?q`): write `/` then.
   */
  pathStart = 0;
  pathEnd = 0;
  /** The effective authority: an absolute target's, otherwise Host's value. Both offsets are 0 if there is none (HTTP/1.0). */
  hostStart = 0;
  hostEnd = 0;
  /** `Expect: 100-continue` on an HTTP/1.1 request. */
  expectContinue = false;
  /** TE lists `trailers`. */
  teTrailers = false;
  /** Index of the `x-piko-endpoint` field, or -1 (the first one counts). */
  endpointField = -1;
  /** Index of the only `traceparent` field, FIELD_REPEATED if there are several, or -1. */
  traceParentField = -1;
  /** Index of the first `tracestate` field, or -1. */
  traceStateField = -1;
  /** The request came over HTTP/2; this head was made from it. Set after the parse. */
  http2 = false;

  /** Forgets the last request. */
  reset(buffer: Buffer, start: number): void {
    this.resetMessage(buffer, start);
    this.targetStart = 0;
    this.targetEnd = 0;
    this.pathStart = 0;
    this.pathEnd = 0;
    this.hostStart = 0;
    this.hostEnd = 0;
    this.expectContinue = false;
    this.teTrailers = false;
    this.endpointField = -1;
    this.traceParentField = -1;
    this.traceStateField = -1;
    this.http2 = false;
  }
}

/** The head of a response. */
export class ResponseHead extends MessageHead {
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;
  /** There is a Date field. */
  hasDate = false;
  /** Index of the `x-piko-reason` field, or -1 (the first one counts). */
  reasonField = -1;

  /** Forgets the last response. */
  reset(buffer: Buffer, start: number): void {
    this.resetMessage(buffer, start);
    this.status = 0;
    this.reasonStart = 0;
    this.reasonEnd = 0;
    this.hasDate = false;
    this.reasonField = -1;
  }
}
