// What the log and the metrics report about one request: noted when its head is read, because the head's bytes are gone later,
// and reported when the request ends.

import type { Clock } from "@piko/tunnel";
import { FIELD_STRIDE, type RequestHead, type ResponseHead, VALUE_END, VALUE_START } from "../http/head.js";
import type { Reason } from "../http/reasons.js";
import type { AccessLog } from "./access-log.js";
import type { AccessLogEntry } from "./access-log-entry.js";
import { RequestId } from "./request-id.js";
import type { EndpointMetrics } from "./endpoint-metrics.js";
import type { RequestMetrics } from "./request-metrics.js";
import { RequestText } from "./request-text.js";
import { NOBODY, type ServedBy } from "./served-by.js";
import { RequestTrace } from "./tracing/request-trace.js";
import type { Tracer } from "./tracing/tracer.js";

/** The status of a request whose client left before its response; the same as nginx's. */
export const CLIENT_CLOSED_REQUEST = 499;

/** Where records go. */
export interface RecordTarget {
  readonly accessLog: AccessLog;
  readonly metrics: RequestMetrics;
  readonly clock: Clock;
  /** Counts requests per endpoint. */
  readonly endpointMetrics?: EndpointMetrics | undefined;
  /** Undefined if requests aren't traced. */
  readonly tracer?: Tracer | undefined;
  /** The endpoint of all requests; undefined if each names its own. */
  readonly endpointId?: string | undefined;
}

/** One request; reusable for the next one. */
export class RequestRecord implements AccessLogEntry {
  method = "";
  /** Whether it is HTTP/1.0; otherwise it is HTTP/1.1. */
  http10 = false;
  /** On the clock's scale. */
  startMs = 0;
  endMs = 0;
  // What the access log reads.
  readonly text: RequestText = new RequestText();
  readonly id: RequestId = new RequestId();
  status = 0;
  headMs = -1;
  bytesIn = 0;
  bytesOut = 0;
  tries = 0;
  servedBy: ServedBy = NOBODY;
  /** The initial value of `servedBy`, until the request has an upstream. */
  unserved: ServedBy = NOBODY;
  /** The endpoint of the request, once it is known. */
  endpointId: string;
  /** Why it failed. Undefined if it hasn't, or if the service itself answered with an error. */
  reason: Reason | undefined = undefined;
  /** Its part in a trace, begun by the code that knows whether the sender is trusted. Undefined if requests aren't traced. */
  readonly trace: RequestTrace | undefined;
  readonly #target: RecordTarget;
  /** The log of the current request. The target's may be replaced meanwhile. */
  #accessLog: AccessLog;
  #requestBytes = 0;
  #sentMs = 0;

  constructor(target: RecordTarget) {
    this.#target = target;
    this.endpointId = target.endpointId ?? "";
    this.trace = target.tracer === undefined ? undefined : new RequestTrace(target.tracer);
    this.#accessLog = target.accessLog;
  }

  /** Valid once the request has ended. */
  get durationMs(): number {
    return this.endMs - this.startMs;
  }

  /** Starts a record for a request whose head was just parsed. `clientIp` is the sender's address; undefined if unknown. */
  begin(head: RequestHead, clientIp?: string): void {
    const { accessLog, clock, endpointId = "", metrics } = this.#target;
    metrics.begin();
    this.endpointId = endpointId;
    this.reason = undefined;
    this.headMs = -1;
    this.tries = 0;
    this.servedBy = this.unserved;
    if (head.requestIdField < 0) this.id.length = 0;
    else {
      const record = head.requestIdField * FIELD_STRIDE;
      this.id.take(
        head.buffer,
        head.fields[record + VALUE_START] as number,
        head.fields[record + VALUE_END] as number,
      );
    }
    this.startMs = clock.now();
    this.method = head.method;
    this.http10 = head.minorVersion === 0;
    this.#requestBytes = head.end - head.start + Math.max(0, head.contentLength);
    this.#accessLog = accessLog;
    if (accessLog.enabled) this.text.begin(head, clientIp, accessLog.requestFields);
  }

  /** The request is sent to an upstream at `nowMs`. */
  sent(nowMs: number): void {
    this.tries++;
    this.#sentMs = nowMs;
    this.trace?.sent(this, nowMs);
  }

  /** The upstream of the request can't answer it; another one might. */
  lost(why: Reason): void {
    this.trace?.lost(this, why, this.#target.clock.now());
  }

  /** Notes the header fields of the response that is passed on. */
  response(head: ResponseHead): void {
    const { clock, metrics } = this.#target;
    const nowMs = clock.now();
    this.headMs = nowMs - this.startMs;
    metrics.upstreamLatency.observe((nowMs - this.#sentMs) / 1_000);
    const accessLog = this.#accessLog;
    if (accessLog.enabled) this.text.answer(head, accessLog.responseFields);
  }

  /** Reports the request. Bytes are those of bodies. */
  end(status: number, requestBytes: number, responseBytes: number): void {
    const { clock, metrics } = this.#target;
    const accessLog = this.#accessLog;
    this.endMs = clock.now();
    metrics.end(status, this.method, this.durationMs / 1_000, this.#requestBytes, responseBytes);
    if (this.reason !== undefined) metrics.fail(this.reason);
    this.status = status;
    this.bytesIn = requestBytes;
    this.bytesOut = responseBytes;
    this.#target.endpointMetrics?.count(this);
    this.trace?.end(this);
    if (!accessLog.enabled) return;
    accessLog.write(this);
    this.text.clear();
  }

  /** Ends the record without reporting the request, which is now handled elsewhere. */
  abandon(): void {
    this.#target.metrics.abandon();
    this.trace?.abandon();
    this.text.clear();
  }

  /** Method, host and path, for other log lines about the request. */
  describe(): Record<string, string> {
    return { method: this.method, host: this.text.host, path: this.text.path, ...this.traceField };
  }

  /** The id of the trace, for the same log lines. */
  get traceField(): Record<string, string> {
    return this.trace === undefined ? {} : { "trace-id": this.trace.traceId };
  }
}
