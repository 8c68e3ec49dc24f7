// The HTTP service behind one listener: what all of its exchanges share, scratch memory included.

import type { Clock } from "@piko/tunnel";
import { RequestHead, ResponseHead } from "../http/head.js";
import { PLAIN_REQUEST, type RequestRewrite } from "../http/request-rewrite.js";
import type { ServiceAddress } from "../base/service-address.js";
import type { AccessLog } from "../observability/access-log.js";
import type { Logger } from "../observability/logger.js";
import type { RequestMetrics } from "../observability/request-metrics.js";
import { RequestRecord } from "../observability/request-record.js";
import { Scratch } from "../net/scratch.js";
import type { ServicePool } from "./service-pool.js";

/** Most field lines of one head; nodes let fewer through. */
const MAX_FIELDS = 512;
/** Largest request head; nodes let fewer bytes through by default. */
export const MAX_REQUEST_HEAD_BYTES: number = 4 * 1024 * 1024;

/** Records that are kept for further requests; about 3 KiB each at most. */
const MAX_SPARE_RECORDS = 256;

export interface HttpServiceOptions {
  readonly endpointId: string;
  readonly addr: ServiceAddress;
  /** Time to connect and get the response head; 0 for no limit. */
  readonly timeoutMs: number;
  readonly pool: ServicePool;
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class HttpService {
  readonly endpointId: string;
  readonly timeoutMs: number;
  readonly pool: ServicePool;
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly rewrite: RequestRewrite;
  /** Filled by each parse, valid until the next one. */
  readonly requestHead: RequestHead = new RequestHead(MAX_FIELDS);
  readonly responseHead: ResponseHead = new ResponseHead(MAX_FIELDS);
  readonly scratch: Scratch = new Scratch();

  /** Records of requests that are over: their memory serves the next ones. */
  readonly #records: RequestRecord[] = [];

  constructor(options: HttpServiceOptions) {
    const { path, query } = options.addr;
    this.endpointId = options.endpointId;
    this.timeoutMs = options.timeoutMs;
    this.pool = options.pool;
    this.accessLog = options.accessLog;
    this.metrics = options.metrics;
    this.logger = options.logger;
    this.clock = options.clock;
    this.rewrite = {
      ...PLAIN_REQUEST,
      pathPrefix: path === "" ? undefined : Buffer.from(path, "latin1"),
      query: query === "" ? undefined : Buffer.from(query, "latin1"),
    };
  }

  /** A record for a request that begins. */
  takeRecord(): RequestRecord {
    return this.#records.pop() ?? new RequestRecord(this);
  }

  /** The request is over. */
  giveRecord(record: RequestRecord): void {
    if (this.#records.length < MAX_SPARE_RECORDS) this.#records.push(record);
  }
}
