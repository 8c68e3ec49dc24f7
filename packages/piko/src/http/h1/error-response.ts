// Responses of proxy and agent themselves: a status, a JSON error, nothing else. All of it is ASCII.

import { grpcStatus, grpcStatusLines } from "../grpc.js";
import { REASON_FIELD, type Reason } from "../reasons.js";

const REASON_PHRASES: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** `HTTP/1.1 <status> <reason>` with its CRLF. */
export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${REASON_PHRASES[status] ?? "Error"}\r\n`;
}

/** What the body of an answer says. */
export interface ErrorBody {
  status: number;
  /** Text for `error`. */
  message: string;
  /** Undefined for what is no request to an endpoint. */
  reason?: Reason | undefined;
  /** Which endpoint was asked for; empty where that isn't known. */
  endpointId?: string;
}

/** Options of {@link errorResponse}. */
export interface ErrorResponse extends ErrorBody {
  /** A whole `Date` line; absent where the next hop adds one. */
  dateLine?: Buffer;
  /** Adds `Connection: close`. */
  close: boolean;
  /** The answer to a HEAD request has no body. */
  headOnly: boolean;
  /** Further field lines, each with its CRLF. */
  extra?: string;
  /** The content type of a gRPC request: its client gets a gRPC status, in a head without a body (`Trailers-Only`). */
  grpcType?: string | undefined;
  /** That status, if it isn't the one for `status`. */
  grpcStatus?: number | undefined;
}

/** The body of an answer. A 401 is Go Piko's to the byte, whose agents read it: without a line feed. */
export function errorBody({ endpointId = "", message, reason, status }: ErrorBody): string {
  if (status === 401) return JSON.stringify({ error: message });
  const endpoint = endpointId === "" ? undefined : endpointId;
  const json = JSON.stringify({ error: message, endpoint, reason: reason?.code });
  return `${json.replace(/[^ -~]/g, escapeUnit)}\n`;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** For nodes, which know by it why an agent or another node has failed; and for clients that get no body. */
function reasonLine({ reason, status }: ErrorBody): string {
  return reason === undefined || status === 401 ? "" : `${REASON_FIELD}: ${reason.code}\r\n`;
}

const JSON_FIELDS = "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n";
const JSON_FIELDS_OF_401 = "Content-Type: application/json; charset=utf-8\r\n";

/** The whole response, in ASCII. */
export function errorResponse(options: ErrorResponse): string {
  if (options.grpcType !== undefined) return grpcErrorResponse(options, options.grpcType);
  const body = errorBody(options);
  return (
    `${statusLine(options.status)}${options.status === 401 ? JSON_FIELDS_OF_401 : JSON_FIELDS}` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n${options.dateLine?.toString("latin1") ?? ""}${options.extra ?? ""}` +
    `${reasonLine(options)}${options.close ? "Connection: close\r\n" : ""}\r\n${options.headOnly ? "" : body}`
  );
}

function grpcErrorResponse(options: ErrorResponse, type: string): string {
  const { close, dateLine, extra = "", message, status } = options;
  return (
    `${statusLine(200)}Content-Type: ${type}\r\n${grpcStatusLines(options.grpcStatus ?? grpcStatus(status), message)}` +
    `Content-Length: 0\r\n${dateLine?.toString("latin1") ?? ""}${extra}${reasonLine(options)}${close ? "Connection: close\r\n" : ""}\r\n`
  );
}

/** A whole 200 without a body. */
export function emptyResponse(dateLine: Buffer, close: boolean): string {
  const connection = close ? "Connection: close\r\n" : "";
  return `${statusLine(200)}Content-Length: 0\r\n${dateLine.toString("latin1")}${connection}\r\n`;
}
