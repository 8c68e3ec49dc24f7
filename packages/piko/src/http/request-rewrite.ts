// What a hop changes in a request head.

/** What a hop that traces does to the fields of W3C Trace Context. */
export interface TraceFields {
  /** Both fields are passed on unchanged. */
  readonly passes: boolean;
  /** Replaces Traceparent. */
  readonly traceParent: Buffer;
  /** Tracestate is passed on unchanged; otherwise it is removed. */
  readonly keepsTraceState: boolean;
}

/** Texts are byte buffers, so that they are encoded only once. */
export interface RequestRewrite {
  /** Address to append to X-Forwarded-For; earlier values are joined into one line. Undefined: the field is unchanged. */
  readonly forwardedFor: Buffer | undefined;
  /** Replaces X-Forwarded-Proto. Undefined: the field is unchanged. */
  readonly forwardedProto: Buffer | undefined;
  /** Replaces X-Forwarded-Host. Undefined: the field is unchanged. */
  readonly forwardedHost: Buffer | undefined;
  /** Replaces Host if it is missing or empty, or if the service is to get another one. Undefined: the field is unchanged. */
  readonly host: Buffer | undefined;
  /** Replaces X-Request-Id. Undefined: the field is unchanged. */
  readonly requestId: Buffer | undefined;
  /** Undefined: the fields of Trace Context are unchanged. */
  readonly trace: TraceFields | undefined;
  /** The next hop is another node: adds `x-piko-forward`, and keeps the fields that the other node checks again. */
  readonly addForward: boolean;
  /** Sent as `x-piko-hop` if `addForward` is set: the other node's secret, known to nodes only. Undefined: it has none. */
  readonly hopSecret: Buffer | undefined;
  /**
   * Index of the field that authenticated the sender, or -1. A next hop that is another node gets it as
   * `x-piko-authorization`, to check it again; for any other next hop, it is removed.
   */
  readonly credentialField: number;
  /** The next hop is another node, and may return the request to be sent elsewhere. Only with `addForward`. */
  readonly addReroute: boolean;
  /** Adds `Connection: close` unless the request is an upgrade. */
  readonly connectionClose: boolean;
  /** Path of the service's URL, joined to the request's with one slash. */
  readonly pathPrefix: Buffer | undefined;
  /** Query of the service's URL, without its question mark; precedes the request's query. */
  readonly query: Buffer | undefined;
}

/** The parts of a rewrite that apply to a request to a service over HTTP/2. */
export type RequestTarget = Pick<RequestRewrite, "host" | "pathPrefix" | "query" | "trace">;

/** A rewrite whose properties are set anew for each request. */
export type MutableRewrite = { -readonly [Key in keyof RequestRewrite]: RequestRewrite[Key] };

/** Changes only what every hop has to change. */
export const PLAIN_REQUEST: RequestRewrite = {
  forwardedFor: undefined,
  forwardedProto: undefined,
  forwardedHost: undefined,
  host: undefined,
  requestId: undefined,
  trace: undefined,
  addForward: false,
  hopSecret: undefined,
  credentialField: -1,
  addReroute: false,
  connectionClose: false,
  pathPrefix: undefined,
  query: undefined,
};
