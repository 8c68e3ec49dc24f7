// What a proxy has to know about gRPC: which requests are gRPC, and how to report errors to gRPC clients: by gRPC's own
// status instead of HTTP's (the gRPC project's PROTOCOL-HTTP2.md, and its mapping from HTTP status codes).

import { FIELD_CONTENT_TYPE } from "./field-names.js";
import { findNamedField } from "./find-field.js";
import {
  FIELD_ID,
  FIELD_STRIDE,
  type MessageHead,
  type RequestHead,
  VALUE_END,
  VALUE_START,
} from "./head.js";

/** gRPC status for a deadline that has passed. */
export const DEADLINE_EXCEEDED = 4;
/** gRPC status for a request that may be retried. */
export const UNAVAILABLE = 14;
const UNKNOWN = 2;

const STATUSES: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: UNAVAILABLE,
  502: UNAVAILABLE,
  503: UNAVAILABLE,
  504: UNAVAILABLE,
};

/** `application/grpc`, `application/grpc+proto`, and the same types of grpc-web. */
const TYPE = /^application\/grpc(?:-web|-web-text)?(?:\+[\w.+-]{1,64})?(?=[ \t]*(?:;|$))/i;

/** Position of the `g` in these types: that byte rules out most others without making a string. */
const G_AT = "application/".length;
const LOWER_G = 0x67;

/** The content type of a gRPC message, without parameters; undefined for any other message. */
export function grpcType(head: MessageHead): string | undefined {
  const { buffer, fields } = head;
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    if (fields[record + FIELD_ID] !== FIELD_CONTENT_TYPE) continue;
    const start = fields[record + VALUE_START] as number;
    if (((buffer[start + G_AT] as number) | 0x20) !== LOWER_G) return undefined;
    return TYPE.exec(buffer.toString("latin1", start, fields[record + VALUE_END]))?.[0];
  }
  return undefined;
}

/** The same for a request. gRPC only uses POST, so other methods cost nothing. */
export function grpcRequestType(head: RequestHead): string | undefined {
  return head.method === "POST" ? grpcType(head) : undefined;
}

/** Whether the type is gRPC itself rather than grpc-web, which HTTP/1.1 can carry. */
export function isStreaming(type: string | undefined): boolean {
  return type !== undefined && !/^application\/grpc-web/i.test(type);
}

/** The gRPC status for an HTTP status. */
export function grpcStatus(httpStatus: number): number {
  return STATUSES[httpStatus] ?? UNKNOWN;
}

/** The field lines `grpc-status` and `grpc-message`, each with its CRLF. `message` must be ASCII. */
export function grpcStatusLines(status: number, message: string): string {
  return `grpc-status: ${status}\r\ngrpc-message: ${encodeMessage(message)}\r\n`;
}

/** Percent-encodes everything except printable ASCII. */
function encodeMessage(message: string): string {
  return message.replaceAll(/[^ -$&-~]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

const UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** How long the client waits (`grpc-timeout`), in milliseconds; Infinity if the field is missing or invalid. */
export function grpcTimeoutMs(head: RequestHead): number {
  const [, digits, unit = ""] =
    /^(\d{1,8})([HMSmun])$/.exec(findNamedField(head, "grpc-timeout") ?? "") ?? [];
  return digits === undefined ? Number.POSITIVE_INFINITY : Number(digits) * (UNITS[unit] ?? 0);
}
