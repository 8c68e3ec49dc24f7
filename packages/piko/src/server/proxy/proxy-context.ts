// What all connections of a proxy port share: settings, the way to upstreams, where lines and numbers go, and scratch
// memory that is only used within one call.

import type { Clock } from "@piko/tunnel";
import type { ProxyConfig } from "../../config/server.js";
import { RequestHead, ResponseHead } from "../../http1/head.js";
import type { DateLine } from "../../net/date-line.js";
import type { DeadlineSweep } from "../../net/deadline-sweep.js";
import type { AccessLog } from "../../observability/access-log.js";
import type { Logger } from "../../observability/logger.js";
import type { RequestMetrics } from "../../observability/request-metrics.js";
import { Scratch } from "../../net/scratch.js";
import type { Cluster } from "../cluster/cluster.js";
import type { UpstreamMetrics } from "../upstream/upstream-metrics.js";
import type { Upstreams } from "../upstream/upstreams.js";

/** Most field lines of one head; more are answered with 431. */
export const MAX_FIELDS = 200;
/** Largest response head that is passed on. */
export const MAX_RESPONSE_HEAD_BYTES: number = 1024 * 1024;

export interface ProxyDependencies {
  config: ProxyConfig;
  upstreams: Upstreams;
  upstreamMetrics: UpstreamMetrics;
  accessLog: AccessLog;
  metrics: RequestMetrics;
  logger: Logger;
  clock: Clock;
  sweep: DeadlineSweep;
  dateLine: DateLine;
}

export class ProxyContext {
  readonly config: ProxyConfig;
  readonly upstreams: Upstreams;
  readonly upstreamMetrics: UpstreamMetrics;
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly dateLine: DateLine;
  /** Filled by each parse, valid until the next one. */
  readonly requestHead: RequestHead = new RequestHead(MAX_FIELDS);
  readonly responseHead: ResponseHead = new ResponseHead(MAX_FIELDS);
  /** The way to other nodes, once the node has found its place among them. */
  cluster: Cluster | undefined = undefined;
  /** The node is stopping: responses say `Connection: close`. */
  closing = false;
  /** The node takes no new connections, and ends those that have no request. */
  draining = false;
  /** For a head that is written and sent within one call. */
  readonly scratch: Scratch = new Scratch();

  constructor(dependencies: ProxyDependencies) {
    this.config = dependencies.config;
    this.upstreams = dependencies.upstreams;
    this.upstreamMetrics = dependencies.upstreamMetrics;
    this.accessLog = dependencies.accessLog;
    this.metrics = dependencies.metrics;
    this.logger = dependencies.logger;
    this.clock = dependencies.clock;
    this.sweep = dependencies.sweep;
    this.dateLine = dependencies.dateLine;
  }
}
