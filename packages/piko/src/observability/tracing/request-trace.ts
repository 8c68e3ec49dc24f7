// One request as part of a trace: continues the trace named in its head or begins one, determines what the next hop receives, and
// makes spans if the trace is sampled: one for the request (server), and one for each time it was sent on (client). Their
// attributes are those of OpenTelemetry's semantic conventions for HTTP; our own begin with `piko`.

import { FIELD_TRACESTATE, FIELD_X_FORWARDED_PROTO } from "../../http/field-names.js";
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
  TRACE_ID_MIDDLE,
  TRACE_ID_START,
  writeFlags,
} from "./trace-parent.js";
import { isTraceState } from "./trace-state.js";
import type { Tracer } from "./tracer.js";

/** The sender of a request. */
export interface TracedClient {
  /** `secure` is true if the connection uses TLS. */
  readonly client: { readonly secure: boolean };
  /** Its address, if that is known. */
  senderOf(head: RequestHead): string | undefined;
}

/** What a trace needs to know about a request when it is sent on, and when it ends. */
export interface TracedRequest {
  /** On the clock's scale. */
  readonly startMs: number;
  readonly endMs: number;
  /** Negative if there was no response from upstream. */
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

/** What is known about a sampled request at its start. */
interface Begun {
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly traceState: string;
  /** The name of its spans; `method` is the attribute for its method. */
  readonly name: string;
  readonly method: AttributeText;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly attributes: AttributeText;
}

/** An attempt to send the request on that hasn't ended. */
interface Call {
  readonly spanId: string;
  readonly startMs: number;
  readonly resends: number;
  readonly upstream: AttributeText;
}

export class RequestTrace implements TraceFields {
  /** The traceparent field that the next hop receives, for the current request. */
  readonly traceParent: Buffer = createTraceParent();
  /** The part of it that is the trace's id. */
  readonly idView: Uint8Array = this.traceParent.subarray(TRACE_ID_START, TRACE_ID_END);
  keepsTraceState = true;
  passes = false;
  readonly #tracer: Tracer;
  /** The trace's id was made here, not by a client. */
  #ownTraceId = false;
  /** Undefined if the request isn't sampled. */
  #begun: Begun | undefined = undefined;
  #call: Call | undefined = undefined;

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
    tracer.makeId(this.traceParent, SPAN_ID_START, SPAN_ID_END);
  }

  /** Starts a request whose head is valid. `trusted`: the sender decides whether the trace is sampled, as a node does. */
  begin(head: RequestHead, trusted: boolean, client: TracedClient): void {
    const tracer = this.#tracer;
    const { traceParent } = this;
    let flags = NO_TRACE_PARENT;
    let start = 0;
    let end = 0;
    if (head.traceParentField >= 0) {
      const record = head.traceParentField * FIELD_STRIDE;
      start = head.fields[record + VALUE_START] as number;
      end = head.fields[record + VALUE_END] as number;
      flags = readTraceParent(head.buffer, start, end, traceParent);
      this.#ownTraceId = false;
    }
    const continued = flags !== NO_TRACE_PARENT;
    let sampled: boolean;
    if (continued) {
      sampled = trusted || tracer.trustsClients ? isSampled(flags) : tracer.choose();
    } else {
      sampled = tracer.choose();
      // Nobody collects the others: that their second halves differ is enough for logs, and costs half as much.
      const keepsHalf = !sampled && this.#ownTraceId;
      tracer.makeId(traceParent, keepsHalf ? TRACE_ID_MIDDLE : TRACE_ID_START, TRACE_ID_END);
      this.#ownTraceId = true;
    }
    const state = continued ? traceStateOf(head) : undefined;
    this.keepsTraceState = continued && (state === undefined || isTraceState(state));
    this.#call = undefined;
    if (!sampled) {
      this.#begun = undefined;
      // The parent's id has to be replaced only if someone records the trace.
      this.passes =
        continued &&
        this.keepsTraceState &&
        !head.connectionNamesFields &&
        passesOn(head.buffer, start, end, flags);
      if (this.passes) return;
    }
    writeFlags(traceParent, sampled, continued ? flags : 0);
    // Without a span of its own, a request can have the span id of the one before.
    if (!sampled) return;
    tracer.makeId(traceParent, SPAN_ID_START, SPAN_ID_END);
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

  /** The request is sent to an upstream. Its parent will be a new span for this attempt. */
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

  /** The attempt has failed, and the request may be sent again. */
  lost(request: TracedRequest, why: Reason, nowMs: number): void {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#endCall(begun, begun.startMs + nowMs - request.startMs, why, 0);
  }

  /** The request has ended. */
  end(request: TracedRequest): void {
    const begun = this.#begun;
    if (begun === undefined) return;
    this.#begun = undefined;
    const { reason, status } = request;
    const endMs = begun.startMs + request.endMs - request.startMs;
    this.#endCall(begun, endMs, reason, request.headMs < 0 ? 0 : status);
    const failed = status >= 500 || isFailure(reason);
    const type = reason?.code ?? (failed ? String(status) : undefined);
    // In an agent, the sender is the node.
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

  /** Drops the request's spans, because it becomes something that has none. */
  abandon(): void {
    this.#begun = undefined;
    this.#call = undefined;
  }

  /** The trace's id as text, for other log lines. */
  get traceId(): string {
    return this.traceParent.toString("latin1", TRACE_ID_START, TRACE_ID_END);
  }

  get #spanId(): string {
    return this.traceParent.toString("latin1", SPAN_ID_START, SPAN_ID_END);
  }

  /** `status` is that of the upstream's response, or 0. */
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

/** Whether a reason is a failure on our side. A client that leaves is not. */
function isFailure(reason: Reason | undefined): boolean {
  return reason !== undefined && reason.side !== "client";
}

/** The values of all Tracestate fields, joined as in RFC 9110 section 5.3; undefined if there are none. */
function traceStateOf(head: RequestHead): string | undefined {
  const first = head.traceStateField;
  if (first < 0) return undefined;
  let values = valueAt(head, first);
  for (let index = first + 1; index < head.fieldCount; index++) {
    if (head.fields[index * FIELD_STRIDE + FIELD_ID] === FIELD_TRACESTATE)
      values += `,${valueAt(head, index)}`;
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

/** Whether a method is one of RFC 9110, or PATCH. Clients can invent others. */
function isKnown(method: string): boolean {
  return METHODS.has(method);
}

/** Attributes from a request's head, except its method. */
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

/** `agent-addr` -> `piko.agent_addr`; made once per upstream, and used for all requests that it serves. */
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
