// What all connections of a proxy port share: settings, access to upstreams, logs and metrics.

import { timingSafeEqual } from "node:crypto";
import type { Clock } from "@piko/tunnel";
import type { Authorizer } from "../../auth/authorizer.js";
import type { ProxyConfig } from "../../config/server.js";
import { FIELD_X_PIKO_HOP } from "../../http/field-names.js";
import { findField } from "../../http/find-field.js";
import { RequestHead, ResponseHead } from "../../http/head.js";
import type { HttpError } from "../../http/errors.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import { REASONS, type Reason } from "../../http/reasons.js";
import type { ExchangeContext } from "../../http/exchange/exchange-context.js";
import type { HeadReader } from "../../http/exchange/request-replay.js";
import type { ResponseReaderLimits } from "../../http/h1/response-reader.js";
import type { RequestRecord } from "../../observability/request-record.js";
import type { Hops } from "../upstream/hop/hops.js";
import type { DateLine } from "../../http/date-line.js";
import type { DeadlineSweep } from "../../net/deadline-sweep.js";
import type { LimitCounters } from "../../net/limit-counters.js";
import type { OpenFiles } from "../../net/accept/open-files.js";
import { TlsOnPlainPort } from "../../net/accept/tls-on-plain-port.js";
import { NextTurn } from "../../net/next-turn.js";
import type { AccessLog } from "../../observability/access-log.js";
import type { Logger } from "../../observability/logger.js";
import type { EndpointMetrics } from "../../observability/endpoint-metrics.js";
import type { RequestMetrics } from "../../observability/request-metrics.js";
import type { Tracer } from "../../observability/tracing/tracer.js";
import type { Cluster } from "../cluster/cluster.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import type { UpstreamMetrics } from "../upstream/upstream-metrics.js";
import type { Upstreams } from "../upstream/upstreams.js";
import { ForwardedFields } from "./forwarded-fields.js";
import { fieldsOf, limitOf, NO_MEMORY, type ProxyLimit } from "./proxy-limits.js";

export interface ProxyDependencies {
  config: ProxyConfig;
  /** The authorizer of requests. */
  auth: Authorizer;
  /** The other nodes, and the connections to them; undefined without a cluster (tests). */
  cluster: Pick<Cluster, "has" | "hopSecret" | "table"> | undefined;
  hops: Hops | undefined;
  upstreams: Upstreams;
  upstreamMetrics: UpstreamMetrics;
  accessLog: AccessLog;
  metrics: RequestMetrics;
  endpointMetrics: EndpointMetrics | undefined;
  tracer: Tracer | undefined;
  limits: LimitCounters<ProxyLimit>;
  /** Memory for buffered bytes, shared by this port and the upstream port. */
  budget: ByteBudget;
  files: OpenFiles;
  logger: Logger;
  clock: Clock;
  sweep: DeadlineSweep;
  dateLine: DateLine;
}

export class ProxyContext implements ExchangeContext {
  /** May be replaced between two requests. */
  config: ProxyConfig;
  readonly auth: Authorizer;
  readonly upstreams: Upstreams;
  readonly upstreamMetrics: UpstreamMetrics;
  /** May be replaced between two requests, too. */
  accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly endpointMetrics: EndpointMetrics | undefined;
  /** Undefined if requests aren't traced. */
  readonly tracer: Tracer | undefined;
  readonly limits: LimitCounters<ProxyLimit>;
  readonly budget: ByteBudget;
  readonly files: OpenFiles;
  readonly forwarded: ForwardedFields = new ForwardedFields();
  readonly logger: Logger;
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly dateLine: DateLine;
  readonly tlsOnPlainPort: TlsOnPlainPort;
  /** Connections that have used up their share of a turn continue here. */
  readonly nextTurn: NextTurn = new NextTurn();
  /** Filled by each parse, valid until the next one. */
  readonly requestHead: RequestHead;
  readonly responses: ResponseReaderLimits;
  readonly timeoutMs: number;
  readonly maxReplayBytes: number;
  readonly noMemory: HttpError = NO_MEMORY;
  readonly upstreamsSendReasons = true;
  readonly cluster: Pick<Cluster, "has" | "hopSecret" | "table"> | undefined;
  readonly hops: Hops | undefined;
  /** The node is stopping: responses have `Connection: close`. */
  closing = false;
  /** The node ends: connections that end now are cut by the node. */
  ended = false;
  /** The node accepts no new connections, and closes idle ones. */
  draining = false;

  constructor(dependencies: ProxyDependencies) {
    this.config = dependencies.config;
    this.auth = dependencies.auth;
    this.cluster = dependencies.cluster;
    this.hops = dependencies.hops;
    this.upstreams = dependencies.upstreams;
    this.upstreamMetrics = dependencies.upstreamMetrics;
    this.accessLog = dependencies.accessLog;
    this.metrics = dependencies.metrics;
    this.endpointMetrics = dependencies.endpointMetrics;
    this.tracer = dependencies.tracer;
    this.limits = dependencies.limits;
    this.budget = dependencies.budget;
    this.files = dependencies.files;
    const { maxBufferedBytesPerConnection, maxHeaderFields, maxResponseHeaderBytes } =
      dependencies.config.limits;
    this.timeoutMs = dependencies.config.timeoutMs;
    this.maxReplayBytes = maxBufferedBytesPerConnection;
    this.requestHead = new RequestHead(maxHeaderFields);
    this.responses = {
      head: new ResponseHead(maxHeaderFields),
      maxHeadBytes: maxResponseHeaderBytes,
      budget: dependencies.budget,
    };
    this.logger = dependencies.logger;
    this.clock = dependencies.clock;
    this.tlsOnPlainPort = new TlsOnPlainPort(dependencies.logger, dependencies.clock);
    this.sweep = dependencies.sweep;
    this.dateLine = dependencies.dateLine;
  }

  /** Parses again a head that was parsed before. */
  readonly readHead: HeadReader = (buffer, start, end) => {
    parseRequestHead(this.requestHead, buffer, start, end);
    return this.requestHead;
  };

  fieldsOf(refusal: HttpError): string {
    return fieldsOf(refusal);
  }

  /** Counts a refusal that is due to a limit. */
  onRefused(refusal: HttpError): void {
    const limit = limitOf(refusal);
    if (limit !== undefined) this.limits.hit(limit);
  }

  onFailed(why: Reason, detail: string, record: RequestRecord): void {
    if (why === REASONS.head_too_large) this.limits.hit("max_response_header_bytes");
    if (why === REASONS.head_too_large || why === REASONS.bad_response || why === REASONS.bad_switch) {
      this.logger.warn("upstream response refused", { ...record.describe(), error: detail });
    }
  }

  /** Why a connection that wasn't closed on purpose has ended: the node ended, or the client is gone. */
  get gone(): Reason {
    return this.ended ? REASONS.shutdown : REASONS.client_gone;
  }

  /** Whether nodes identify themselves by a secret, not just by their addresses. */
  get hasHopSecret(): boolean {
    return this.cluster?.hopSecret !== undefined;
  }

  /**
   * Whether a request that is marked as forwarded really comes from another node: it has this node's secret or, if there is no
   * secret, comes from a node's address, which others may share.
   */
  isHop(head: RequestHead, address: string): boolean {
    const secret = this.cluster?.hopSecret;
    if (secret === undefined) return this.isNode(address);
    const claimed = Buffer.from(findField(head, FIELD_X_PIKO_HOP) ?? "", "latin1");
    return claimed.length === secret.length && timingSafeEqual(claimed, secret);
  }

  /** Whether another node of the cluster has its proxy port at this address. */
  isNode(address: string): boolean {
    if (this.cluster === undefined) return false;
    const host = address.includes(":") ? `[${address}]:` : `${address}:`;
    for (const node of this.cluster.table.nodes()) if (node.proxyAddr.startsWith(host)) return true;
    return false;
  }
}
