// What the exchanges of a port or a listener share: time, memory, limits, and where errors are reported.

import type { Clock } from "@piko/tunnel";
import type { HttpError } from "../errors.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import type { RequestRecord } from "../../observability/request-record.js";
import type { Reason } from "../reasons.js";
import type { HeadReader } from "./request-replay.js";

export interface ExchangeContext {
  readonly clock: Clock;
  /** Memory of bytes that wait. */
  readonly budget: ByteBudget;
  /** Time for the response head, from the last of the request that the upstream took; 0 for no limit. */
  readonly timeoutMs: number;
  /** Maximum number of bytes of a request that are kept for another try. */
  readonly maxReplayBytes: number;
  readonly readHead: HeadReader;
  /** The limit that ends uploads when memory is short. */
  readonly noMemory: HttpError;
  /** Upstreams are programs of ours, which say in `x-piko-reason` why they have failed; a service isn't. */
  readonly hearsReasons: boolean;
  /** Further field lines of a refusal's response. */
  fieldsOf(refusal: HttpError): string;
  /** A limit has refused a request. */
  onRefused(refusal: HttpError): void;
  /** A request has failed because of its upstream: for the log. */
  onFailed(why: Reason, detail: string, record: RequestRecord): void;
}
