// What the exchanges of a port or a listener share: time, memory, limits, and where errors are reported.

import type { Clock } from "@piko/tunnel";
import type { HttpError } from "../errors.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import type { RequestRecord } from "../../observability/request-record.js";
import type { Reason } from "../reasons.js";
import type { HeadReader } from "./request-replay.js";

export interface ExchangeContext {
  readonly clock: Clock;
  /** Memory for queued bytes. */
  readonly budget: ByteBudget;
  /** Timeout for the response head, counted from when the upstream accepted the last bytes of the request; 0 for none. */
  readonly timeoutMs: number;
  /** Maximum number of bytes of a request that are kept for a retry. */
  readonly maxReplayBytes: number;
  readonly readHead: HeadReader;
  /** The limit that ends uploads when memory is short. */
  readonly noMemory: HttpError;
  /** Upstreams are our own programs, which send the reason of a failure in `x-piko-reason`; false for services. */
  readonly upstreamsSendReasons: boolean;
  /** Additional field lines of a refusal's response. */
  fieldsOf(refusal: HttpError): string;
  /** A limit refused a request. */
  onRefused(refusal: HttpError): void;
  /** A request failed because of its upstream: for the log. */
  onFailed(why: Reason, detail: string, record: RequestRecord): void;
}
