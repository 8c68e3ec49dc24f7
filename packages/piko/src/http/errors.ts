// Every refusal of the HTTP/1.1 code, as frozen constants, so that refusing allocates nothing. The proxy answers a refused
// request with `status` and `{"error":"<message>"}`. A refused response becomes a 502, whatever its `status`.

import { type Reason, REASONS } from "./reasons.js";

/** Why a message was refused. Branch on `code`; `message` is in lower case and may be shown to a client. */
export interface HttpError {
  readonly status: number;
  readonly code: `PIKO_HTTP_${string}`;
  readonly message: string;
  /** The reason given in the log, in metrics and in the response body. */
  readonly reason: Reason;
}

const REFUSALS = {
  // Start line
  METHOD: [400, "invalid method"],
  TARGET: [400, "invalid request target"],
  TARGET_AUTHORITY: [400, "request target and host field differ"],
  CONNECT: [501, "connect is not supported"],
  VERSION: [400, "invalid http version"],
  VERSION_UNSUPPORTED: [505, "http version not supported"],
  STATUS_LINE: [502, "invalid status line"],
  STATUS: [502, "status outside 100 to 999"],
  INTERIM_VERSION: [502, "interim response in http/1.0"],
  EMPTY_LINES: [400, "too many empty lines before the request"],
  // Lines and fields
  BARE_LF: [400, "line ends without carriage return"],
  BARE_CR: [400, "carriage return without line feed"],
  FIELD_NAME: [400, "invalid field name"],
  FIELD_NAME_SPACE: [400, "white space before the colon of a field"],
  FIELD_FOLDED: [400, "folded field line"],
  FIELD_VALUE: [400, "invalid byte in a field value"],
  FIELD_COUNT: [431, "too many fields"],
  HEAD_SIZE: [431, "message head too large"],
  // Fields with special rules
  HOST_MISSING: [400, "missing host field"],
  HOST_REPEATED: [400, "more than one host field"],
  HOST: [400, "invalid host"],
  CONTENT_LENGTH: [400, "invalid content-length"],
  CONTENT_LENGTH_REPEATED: [400, "more than one content-length field"],
  TRANSFER_ENCODING: [501, "transfer-encoding other than chunked"],
  TRANSFER_ENCODING_REPEATED: [400, "more than one transfer-encoding field"],
  TRANSFER_ENCODING_AND_LENGTH: [400, "both transfer-encoding and content-length"],
  TRANSFER_ENCODING_VERSION: [400, "transfer-encoding needs http/1.1"],
  CONNECTION: [400, "invalid connection field"],
  CONNECTION_NAMES_FIELD: [400, "connection field names a field that must not be dropped"],
  UPGRADE: [400, "invalid upgrade field"],
  EXPECT: [417, "expectation not supported"],
  // Body
  CHUNK_SIZE: [400, "invalid chunk size"],
  CHUNK_BLANKS: [400, "too much white space in a chunk size"],
  CHUNK_EXTENSION: [400, "invalid chunk extension"],
  CHUNK_EXTENSION_SIZE: [400, "chunk extensions too large"],
  CHUNK_END: [400, "chunk longer than its size"],
  TRAILER: [400, "invalid trailer section"],
  TRAILER_SIZE: [431, "trailer section too large"],
  TRUNCATED: [400, "message ends before its body is complete"],
} as const;

/** The name of a refusal: its code without the prefix. */
export type HttpErrorName = keyof typeof REFUSALS;

/** All refusals, by name. */
export const HTTP_ERRORS: Readonly<Record<HttpErrorName, HttpError>> = Object.freeze(
  Object.fromEntries(
    Object.entries(REFUSALS).map(([name, [status, message]]) => [
      name,
      Object.freeze({ status, code: `PIKO_HTTP_${name}`, message, reason: reasonFor(status) }),
    ]),
  ) as Record<HttpErrorName, HttpError>,
);

function reasonFor(status: number): Reason {
  if (status === 431) return REASONS.too_large;
  return status === 502 ? REASONS.bad_response : REASONS.bad_request;
}
