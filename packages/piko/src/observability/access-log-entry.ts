// What the line of a request in an access log says.

import type { Reason } from "../http/reasons.js";
import type { RequestId } from "./request-id.js";
import type { RequestText } from "./request-text.js";
import type { ServedBy } from "./served-by.js";

/** A request that was served. */
export interface AccessLogEntry {
  readonly method: string;
  /** What its heads say, with the fields that the log asks for. */
  readonly text: RequestText;
  readonly status: number;
  readonly durationMs: number;
  /** From the request's head to the response's; negative: there was none. */
  readonly headMs: number;
  /** Bytes of the request's body and of the response's, raw ones behind an upgrade too. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** How many upstreams it was sent to. */
  readonly tries: number;
  readonly id: RequestId;
  /** The id of its trace, in both forms, where requests are traced; they have an id of their own, too. */
  readonly trace: { readonly idView: Uint8Array; readonly traceId: string } | undefined;
  /** Empty where it names none. */
  readonly endpointId: string;
  /** The last upstream that it was sent to. */
  readonly servedBy: ServedBy;
  /** Why it failed, if it did. */
  readonly reason: Reason | undefined;
}
