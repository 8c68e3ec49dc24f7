// One request as a part of a trace: continues the trace that its head names or begins one, says what the next hop is told of it,
// and makes its spans if it is sampled: one of the request (server), and one of each time that it was sent on (client). Their
// attributes are those of OpenTelemetry's semantic conventions for HTTP; ours begin with `piko`.

import { FIELD_TRACEPARENT, FIELD_TRACESTATE, FIELD_X_FORWARDED_PROTO } from "../../http/field-names.js";
import { findField, findNamedField, valueAt } from "../../http/find-field.js";
import { FIELD_ID, FIELD_STRIDE, type RequestHead, VALUE_END, VALUE_START } from "../../http/head.js";
import type { Reason } from "../../http/reasons.js";
import type { TraceFields } from "../../http/request-rewrite.js";
import { targetPathEnd } from "../../http/target-path.js";
import type { RequestId } from "../request-id.js";
import type { ServedBy } from "../served-by.js";
import {
  type AttributeText,
  intAttribute,
  SPAN_CLIENT,
  SPAN_SERVER,
  spanJson,
  textAttribute,
} from "./span.js";
import {
  createTraceParent,
  isSampled,
  NO_TRACE_PARENT,
  passesOn,
  readTraceParent,
  SPAN_ID_END,
  SPAN_ID_START,
  TRACE_ID_END,
  TRACE_ID_START,
  writeFlags,
} from "./trace-parent.js";
import { isTraceState } from "./trace-state.js";
import type { Tracer } from "./tracer.js";

/** Who has sent a request. */
export interface TracedClient {
  /** `secure`: it speaks TLS. */
  readonly client: { readonly secure: boolean };
  /** Its address, if that is known. */
  senderOf(head: RequestHead): string | undefined;
}

/** What a trace asks of a request, when it is sent on or over. */
export interface TracedRequest {
  /** On the clock's scale. */
  readonly startMs: number;
  readonly endMs: number;
  /** Negative: there was no response from upstream. */
  readonly headMs: number;
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly tries: number;
  readonly endpointId: string;
  readonly id: RequestId;
  readonly servedBy: ServedBy;
  readonly reason: Reason | undefined;
}

/** What is known of a sampled request from its start. */
interface Begun {
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly traceState: string;
  /** Of its spans; and how they say its method. */
  readonly name: string;
  readonly method: AttributeText;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly attributes: AttributeText;
}

/** A try that isn't over. */
interface Call {
  readonly spanId: string;
  readonly startMs: number;
  readonly resends: number;
  readonly upstream: AttributeText;
}

export class RequestTrace implements TraceFields {
  /** Of the request that is under way: as the next hop gets it. */
  readonly traceParent: Buffer = createTraceParent();
  /** Those bytes of it that are the trace's id. */
  readonly idView: Uint8Array = this.traceParent.subarray(TRACE_ID_START, TRACE_ID_END);
  keepsTraceState = true;
  passes = false;
  readonly #tracer: Tracer;
  /** Undefined: not sampled. */
  #begun: Begun | undefined = undefined;
  #call: Call | undefined = undefined;

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  /** A request begins, whose head is valid. `trusted`: its sender's word counts, as that of a node does. */
  begin(head: RequestHead, trusted: boolean, client: TracedClient): void {
    const tracer = this.#tracer;
    const { traceParent } = this;
    const parent = onlyField(head, FIELD_TRACEPARENT);
    let flags = NO_TRACE_PARENT;
    let start = 0;
    let end = 0;
    if (parent >= 0) {
      start = head.fields[parent + VALUE_START] as number;
      end = head.fields[parent + VALUE_END] as number;
      flags = readTraceParent(head.buffer, start, end);
    }
    const continued = flags !== NO_TRACE_PARENT;
    let sampled: boolean;
    if (continued) {
      for (let at = TRACE_ID_START; at < TRACE_ID_END; at++) {
        traceParent[at] = head.buffer[start + at] as number;
      }
      sampled = trusted || tracer.trustsClients ? isSampled(flags) : tracer.choose();
    } else {
      tracer.makeId(traceParent, TRACE_ID_START, TRACE_ID_END);
      sampled = tracer.choose();
    }
    const state = continued ? allValues(head, FIELD_TRACESTATE) : undefined;
    this.keepsTraceState = continued && (state === undefined || isTraceState(state));
    this.#call = undefined;
    if (!sampled) {
      this.#begun = undefined;
      // What its parent is called matters to those who record it.
      this.passes =
        continued &&
        this.keepsTraceState &&
        !head.connectionNamesFields &&
        passesOn(head.buffer, start, end, flags);
      if (this.passes) return;
    }
    tracer.makeId(traceParent, SPAN_ID_START, SPAN_ID_END);
    writeFlags(traceParent, sampled, continued ? flags : 0);
    if (!sampled) return;
    this.passes = false;
    const known = isKnown(head.method);
    this.#begun = {
      spanId: this.#spanId,
      parentSpanId: continued
        ? head.buffer.toString("latin1", start + SPAN_ID_START, start + SPAN_ID_END)
        : "",
      traceState: this.keepsTraceState ? (state ?? "") : "",
      name: known ? head.method : "HTTP",
      method: textAttribute("http.request.method", known ? head.method : "_OTHER"),
      startMs: tracer.wallNow(),
      attributes: attributesOf(head, trusted, client),
    };
  }

  /** The request is sent to an upstream, which gets a span of its own for its parent. */
  sent(request: TracedRequest, nowMs: number): void {
    const begun = this.#begun;
    if (begun === undefined) return;
    const { traceParent } = this;
    this.#tracer.makeId(traceParent, SPAN_ID_START, SPAN_ID_END);
    this.#call = {
      spanId: this.#spanId,
      startMs: begun.startMs + nowMs - request.startMs,
      resends: request.tries - 1,
      upstream: this.#tracer.upstream ?? ours(request.servedBy),
    };
  }

  /** That one has failed, and the request may be sent again. */
  lost(request: TracedRequest, why: Reason, nowMs: number): void {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#endCall(begun, begun.startMs + nowMs - request.startMs, why, 0);
  }

  /** The request is over. */
  end(request: TracedRequest): void {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#begun = undefined;
    const { reason, status } = request;
    const endMs = begun.startMs + request.endMs - request.startMs;
    this.#endCall(begun, endMs, reason, request.headMs < 0 ? 0 : status);
    const failed = status >= 500 || isFailure(reason);
    const type = reason?.code ?? (failed ? String(status) : undefined);
    // In an agent it is the node that has sent the request.
    const sender = this.#tracer.upstream === undefined ? "" : ours(request.servedBy);
    const attributes =
      begun.method +
      begun.attributes +
      intAttribute("http.response.status_code", status) +
      intAttribute("http.request.body.size", request.bytesIn) +
      intAttribute("http.response.body.size", request.bytesOut) +
      textAttribute("error.type", type) +
      textAttribute("piko.endpoint", request.endpointId === "" ? undefined : request.endpointId) +
      textAttribute("piko.request_id", request.id.length === 0 ? undefined : request.id.toString()) +
      intAttribute("piko.tries", request.tries) +
      sender;
    const { parentSpanId, spanId, startMs } = begun;
    this.#emit(begun, SPAN_SERVER, spanId, parentSpanId, startMs, endMs, failed, attributes);
  }

  /** The request has become something that has no spans. */
  abandon(): void {
    this.#begun = undefined;
    this.#call = undefined;
  }

  /** The trace's id, for other log lines. */
  get traceId(): string {
    return this.traceParent.toString("latin1", TRACE_ID_START, TRACE_ID_END);
  }

  get #spanId(): string {
    return this.traceParent.toString("latin1", SPAN_ID_START, SPAN_ID_END);
  }

  /** `status`: of the upstream's response, or 0. */
  #endCall(begun: Begun, endMs: number, reason: Reason | undefined, status: number): void {
    const call = this.#call;
    if (call === undefined) return;
    this.#call = undefined;
    const refused = status >= 400 ? String(status) : undefined;
    const failed = isFailure(reason) || refused !== undefined;
    const attributes =
      begun.method +
      (call.resends === 0 ? "" : intAttribute("http.request.resend_count", call.resends)) +
      (status === 0 ? "" : intAttribute("http.response.status_code", status)) +
      textAttribute("error.type", reason?.code ?? refused) +
      call.upstream;
    this.#emit(begun, SPAN_CLIENT, call.spanId, begun.spanId, call.startMs, endMs, failed, attributes);
  }

  #emit(
    { name, traceState }: Begun,
    kind: typeof SPAN_SERVER | typeof SPAN_CLIENT,
    spanId: string,
    parentSpanId: string,
    startMs: number,
    endMs: number,
    failed: boolean,
    attributes: AttributeText,
  ): void {
    const { traceId } = this;
    const span = {
      traceId,
      spanId,
      parentSpanId,
      traceState,
      kind,
      name,
      startMs,
      endMs,
      attributes,
      failed,
    };
    this.#tracer.sink.add(spanJson(span));
  }
}

/** That clients leave is no failure of what is here. */
function isFailure(reason: Reason | undefined): boolean {
  return reason !== undefined && reason.side !== "client";
}

/** The record of a field; negative if there is none, or more than one. */
function onlyField(head: RequestHead, id: number): number {
  const { fields } = head;
  const limit = head.fieldCount * FIELD_STRIDE;
  let found = -1;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    if (fields[record + FIELD_ID] !== id) continue;
    if (found >= 0) return -1;
    found = record;
  }
  return found;
}

/** The values of all fields of a kind, joined as RFC 9110 section 5.3 does; undefined for none. */
function allValues(head: RequestHead, id: number): string | undefined {
  let values: string | undefined;
  for (let index = 0; index < head.fieldCount; index++) {
    if (head.fields[index * FIELD_STRIDE + FIELD_ID] !== id) continue;
    const value = valueAt(head, index);
    values = values === undefined ? value : `${values},${value}`;
  }
  return values;
}

const METHODS: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "CONNECT",
  "OPTIONS",
  "TRACE",
  "PATCH",
]);

/** Those of the registry of RFC 9110, and PATCH; others are clients' inventions. */
function isKnown(method: string): boolean {
  return METHODS.has(method);
}

/** What a request's head says, but for its method. */
function attributesOf(head: RequestHead, trusted: boolean, client: TracedClient): AttributeText {
  const { buffer, method } = head;
  const host = buffer.toString("latin1", head.hostStart, head.hostEnd);
  const [, name = "", port] = HOST.exec(host) ?? [];
  const path = buffer.toString("latin1", head.pathStart, targetPathEnd(head));
  const said = trusted ? findField(head, FIELD_X_FORWARDED_PROTO)?.toLowerCase() : undefined;
  const scheme = said === "https" || said === "http" ? said : client.client.secure ? "https" : "http";
  return (
    textAttribute("http.request.method_original", isKnown(method) ? undefined : method) +
    textAttribute("url.scheme", scheme) +
    // Without the query, which may hold secrets.
    textAttribute("url.path", path === "" ? "/" : path) +
    textAttribute("server.address", name === "" ? undefined : name.replace(BRACKETS, "")) +
    (port === undefined ? "" : intAttribute("server.port", Number(port))) +
    textAttribute("client.address", client.senderOf(head)) +
    textAttribute("network.protocol.version", head.http2 ? "2" : `1.${head.minorVersion}`) +
    textAttribute("user_agent.original", findNamedField(head, "user-agent"))
  );
}

const HOST = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/;
const BRACKETS = /^\[|\]$/g;

/** `agent-addr` -> `piko.agent_addr`; made once for all requests that it serves. */
function ours(servedBy: ServedBy): AttributeText {
  let text = OURS.get(servedBy);
  if (text === undefined) {
    text = Object.entries(servedBy.fields)
      .map(([key, value]) => textAttribute(`piko.${key.replaceAll("-", "_")}`, value))
      .join("");
    OURS.set(servedBy, text);
  }
  return text;
}

const OURS = new WeakMap<ServedBy, AttributeText>();
