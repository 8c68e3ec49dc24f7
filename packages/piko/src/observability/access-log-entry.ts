// The contents of a request's line in an access log.

import type { Reason } from "../http/reasons.js";
import type { RequestId } from "./request-id.js";
import type { RequestText } from "./request-text.js";
import type { ServedBy } from "./served-by.js";

/** A request that was served. */
export interface AccessLogEntry {
  readonly method: string;
  /** Text from the heads, with the header fields that the log shows. */
  readonly text: RequestText;
  readonly status: number;
  readonly durationMs: number;
  /** Time from the request's head to the response's; negative if there was no response head. */
  readonly headMs: number;
  /** Bytes of the bodies of request and response, including raw bytes after an upgrade. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Number of upstreams that the request was sent to. */
  readonly tries: number;
  readonly id: RequestId;
  /** The id of its trace, in two forms; undefined if requests aren't traced. Independent of the request's id. */
  readonly trace: { readonly idView: Uint8Array; readonly traceId: string } | undefined;
  /** Empty if the request names no endpoint. */
  readonly endpointId: string;
  /** The last upstream that the request was sent to. */
  readonly servedBy: ServedBy;
  /** Why it failed, if it did. */
  readonly reason: Reason | undefined;
}
