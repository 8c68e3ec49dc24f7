// The HTTP service of one listener: everything that its exchanges share, including scratch memory.

import type { Clock } from "@piko/tunnel";
import type { HttpError } from "../http/errors.js";
import { REASONS, type Reason } from "../http/reasons.js";
import type { ExchangeContext } from "../http/exchange/exchange-context.js";
import type { HeadReader } from "../http/exchange/request-replay.js";
import { parseRequestHead } from "../http/h1/parse-request-head.js";
import { RequestHead } from "../http/head.js";
import type { ByteBudget } from "../net/byte-budget.js";
import type { DeadlineSweep } from "../net/deadline-sweep.js";
import { PLAIN_REQUEST, type RequestRewrite } from "../http/request-rewrite.js";
import { hostHeaderOf } from "../base/host-header.js";
import type { ServiceAddress } from "../base/service-address.js";
import type { AccessLog } from "../observability/access-log.js";
import type { Logger } from "../observability/logger.js";
import type { RequestMetrics } from "../observability/request-metrics.js";
import type { RequestRecord } from "../observability/request-record.js";
import type { Tracer } from "../observability/tracing/tracer.js";
import { Scratch } from "../net/scratch.js";
import type { ServiceCalls } from "./service-calls.js";

/** Maximum number of field lines in a head; nodes allow fewer. */
const MAX_FIELDS = 512;
/** Maximum size of a request head; by default, nodes allow less. */
export const MAX_REQUEST_HEAD_BYTES: number = 4 * 1024 * 1024;

/** Maximum number of bytes of a request that are kept for a retry. */
const MAX_REPLAY_BYTES = 16 * 1024;

const NO_MEMORY: HttpError = Object.freeze({
  status: 503,
  code: "PIKO_HTTP_NO_MEMORY",
  message: "agent is busy",
  reason: REASONS.limit,
});

export interface HttpServiceOptions {
  readonly endpointId: string;
  readonly addr: ServiceAddress;
  /** The Host that the service gets, or `rewrite`; empty to keep the client's. */
  readonly hostHeader: string;
  /** Time to connect and get the response head; 0 for no limit. */
  readonly timeoutMs: number;
  readonly calls: ServiceCalls;
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  /** Undefined if requests aren't traced. */
  readonly tracer: Tracer | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class HttpService implements ExchangeContext {
  readonly endpointId: string;
  readonly timeoutMs: number;
  readonly calls: ServiceCalls;
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly tracer: Tracer | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly rewrite: RequestRewrite;
  /** Filled by each parse, valid until the next one. */
  readonly requestHead: RequestHead = new RequestHead(MAX_FIELDS);
  readonly scratch: Scratch = new Scratch();
  readonly sweep: DeadlineSweep;
  readonly budget: ByteBudget;
  readonly maxReplayBytes: number = MAX_REPLAY_BYTES;
  readonly noMemory: HttpError = NO_MEMORY;
  readonly upstreamsSendReasons = false;
  readonly readHead: HeadReader = (buffer, start, end) => {
    parseRequestHead(this.requestHead, buffer, start, end);
    return this.requestHead;
  };

  constructor(options: HttpServiceOptions) {
    const { path, query } = options.addr;
    const host = hostHeaderOf(options.hostHeader, options.addr);
    this.endpointId = options.endpointId;
    this.timeoutMs = options.timeoutMs;
    this.calls = options.calls;
    this.accessLog = options.accessLog;
    this.metrics = options.metrics;
    this.tracer = options.tracer;
    this.logger = options.logger;
    this.clock = options.clock;
    this.sweep = options.calls.sweep;
    this.budget = options.calls.budget;
    this.rewrite = {
      ...PLAIN_REQUEST,
      host: host === undefined ? undefined : Buffer.from(host, "latin1"),
      pathPrefix: path === "" ? undefined : Buffer.from(path, "latin1"),
      query: query === "" ? undefined : Buffer.from(query, "latin1"),
    };
  }

  fieldsOf(): string {
    return "";
  }

  /** Not counted: anything that the agent refuses would already have been refused by its nodes. */
  onRefused(): void {}

  onFailed(why: Reason, detail: string, record: RequestRecord): void {
    const { endpointId, logger, timeoutMs } = this;
    const fields = { "endpoint-id": endpointId, ...record.traceField };
    if (why === REASONS.timeout || why === REASONS.connect_timeout)
      logger.warn("upstream timeout", { ...fields, "timeout-ms": timeoutMs });
    else if (why === REASONS.cut) logger.warn("upstream response cut off", { ...fields, error: detail });
    else logger.warn("upstream unreachable", { ...fields, error: detail });
  }
}
