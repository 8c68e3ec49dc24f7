// The limits of the proxy port by name, and the responses for exceeding them.

import type { TenantRateLimit } from "../upstream/tenant-use.js";
import { HTTP_ERRORS, type HttpError } from "../../http/errors.js";
import { type Reason, REASONS } from "../../http/reasons.js";

/** Limits on concurrent use, across all clients. */
export const PROXY_CAPACITIES = [
  "max_connections",
  "max_connections_per_client",
  "max_requests_per_endpoint",
  "max_waiting_requests",
  "max_buffered_bytes",
  "http2_max_unsent_bytes",
  "open_files",
] as const;

/** Limits on a single connection or request. */
export const CLIENT_LIMITS = [
  "max_buffered_bytes_per_connection",
  "max_header_bytes",
  "max_header_fields",
  "max_response_header_bytes",
  "max_target_bytes",
  "max_endpoint_id_bytes",
  "max_body_bytes",
  "read_header_timeout",
  "read_timeout",
  "write_timeout",
  "requests_per_second",
  "requests_per_second_per_endpoint",
  "proxy_protocol",
  "http2_max_concurrent_streams",
  "http2_max_resets",
  "http2_max_control_frames",
] as const;

/** A value of the label `limit` of piko_proxy_limited_total. */
export type ProxyLimit = (typeof PROXY_CAPACITIES)[number] | (typeof CLIENT_LIMITS)[number];

/** Field line of refusals that don't depend on the request, which may succeed later. */
export const RETRY_AFTER = "Retry-After: 1\r\n";

const error = (status: number, name: string, message: string, reason: Reason = REASONS.limit): HttpError =>
  Object.freeze({ status, code: `PIKO_HTTP_${name}` as const, message, reason });

export const TLS_HANDSHAKE: HttpError = error(
  400,
  "TLS_HANDSHAKE",
  "tls to a port without it",
  REASONS.bad_request,
);
export const HEAD_TIMEOUT: HttpError = error(408, "HEAD_TIMEOUT", "request timeout", REASONS.request_timeout);
export const BODY_TIMEOUT: HttpError = error(408, "BODY_TIMEOUT", "request timeout", REASONS.request_timeout);
export const TARGET_SIZE: HttpError = error(414, "TARGET_SIZE", "request target too long", REASONS.too_large);
export const BODY_SIZE: HttpError = error(413, "BODY_SIZE", "request body too large", REASONS.too_large);
export const NO_MEMORY: HttpError = error(503, "NO_MEMORY", "server is busy");
export const ENDPOINT_ID: HttpError = error(
  400,
  "ENDPOINT_ID",
  "invalid endpoint id (1 to 255 bytes)",
  REASONS.no_endpoint,
);
export const TOO_MANY_CONNECTIONS: HttpError = error(503, "CONNECTIONS", "too many connections");
export const TOO_MANY_FILES: HttpError = error(503, "OPEN_FILES", "too many connections");
export const TOO_MANY_FROM_CLIENT: HttpError = error(
  429,
  "CLIENT_CONNECTIONS",
  "too many connections from this address",
);
/** The required PROXY protocol header is missing, so the client is unknown. */
export const PROXY_HEADER_MISSING: HttpError = error(
  400,
  "PROXY_HEADER",
  "proxy protocol header required",
  REASONS.bad_request,
);
export const ENDPOINT_BUSY: HttpError = error(
  503,
  "ENDPOINT_BUSY",
  "too many requests in flight for this endpoint",
);
export const UPSTREAMS_BUSY: HttpError = error(503, "UPSTREAMS_BUSY", "all upstreams are busy");
export const TOO_MANY_WAITING: HttpError = error(503, "WAITING", "too many requests wait for an upstream");

/** The timeout that a gRPC client has sent (`grpc-timeout`) has expired. */
export const GRPC_DEADLINE: HttpError = error(504, "GRPC_DEADLINE", "deadline exceeded", REASONS.deadline);

const TENANT_RATE: HttpError = error(429, "TENANT_RATE", "too many requests for this tenant");
const ENDPOINT_RATE: HttpError = error(429, "ENDPOINT_RATE", "too many requests for this endpoint");

const LIMITS: ReadonlyMap<HttpError, ProxyLimit> = new Map<HttpError, ProxyLimit>([
  [HTTP_ERRORS.HEAD_SIZE, "max_header_bytes"],
  [HTTP_ERRORS.FIELD_COUNT, "max_header_fields"],
  [TARGET_SIZE, "max_target_bytes"],
  [ENDPOINT_ID, "max_endpoint_id_bytes"],
  [BODY_SIZE, "max_body_bytes"],
  [NO_MEMORY, "max_buffered_bytes"],
  [HEAD_TIMEOUT, "read_header_timeout"],
  [BODY_TIMEOUT, "read_timeout"],
  [TOO_MANY_CONNECTIONS, "max_connections"],
  [TOO_MANY_FILES, "open_files"],
  [TOO_MANY_FROM_CLIENT, "max_connections_per_client"],
  [ENDPOINT_BUSY, "max_requests_per_endpoint"],
  [TOO_MANY_WAITING, "max_waiting_requests"],
  [TENANT_RATE, "requests_per_second"],
  [ENDPOINT_RATE, "requests_per_second_per_endpoint"],
]);

/** The limit that caused a refusal; undefined if it has another reason. */
export function limitOf(refusal: HttpError): ProxyLimit | undefined {
  return LIMITS.get(refusal);
}

/** The refusal of a request above its tenant's rate. */
export function rateRefusal(limit: TenantRateLimit): HttpError {
  return limit === "requests_per_second" ? TENANT_RATE : ENDPOINT_RATE;
}

/** Further field lines of a refusal's response. */
export function fieldsOf(refusal: HttpError): string {
  return refusal.status === 503 || refusal.status === 429 ? RETRY_AFTER : "";
}
