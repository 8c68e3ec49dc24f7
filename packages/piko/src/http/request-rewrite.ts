// What a hop changes in a request head.

/** What a hop that traces makes of the fields of W3C Trace Context. */
export interface TraceFields {
  /** Both fields go on as they came. */
  readonly passes: boolean;
  /** Replaces Traceparent. */
  readonly traceParent: Buffer;
  /** Tracestate continues as it came; else it goes no further. */
  readonly keepsTraceState: boolean;
}

/** Texts are bytes, so that they are encoded only once. */
export interface RequestRewrite {
  /** Address to append to X-Forwarded-For; earlier values are folded into one line. Absent: the field stays as it is. */
  readonly forwardedFor: Buffer | undefined;
  /** Replaces X-Forwarded-Proto. Absent: the field stays as it is. */
  readonly forwardedProto: Buffer | undefined;
  /** Replaces X-Forwarded-Host. Absent: the field stays as it is. */
  readonly forwardedHost: Buffer | undefined;
  /** Replaces Host: where it is missing or empty, and where the service is to see another. Absent: it stays as it is. */
  readonly host: Buffer | undefined;
  /** Replaces X-Request-Id. Absent: the field stays as it is. */
  readonly requestId: Buffer | undefined;
  /** Absent: the fields of a trace stay as they are. */
  readonly trace: TraceFields | undefined;
  /** The next hop is another node: says so in `x-piko-forward` and keeps the fields that it checks again. */
  readonly addForward: boolean;
  /** Goes with that, as `x-piko-hop`: the other node's secret, which only nodes know. Absent: it has none. */
  readonly hopSecret: Buffer | undefined;
  /**
   * Index of the field that its sender was authenticated by, or -1. That field goes no further, but to another node, as
   * `x-piko-authorization`: it checks it again.
   */
  readonly credentialField: number;
  /** The next hop is another node, and may send the request back to be sent elsewhere; with `addForward` only. */
  readonly addReroute: boolean;
  /** Adds `Connection: close` unless the request is an upgrade. */
  readonly connectionClose: boolean;
  /** Path of the service's URL, joined to the request's with one slash. */
  readonly pathPrefix: Buffer | undefined;
  /** Query of the service's URL, without its question mark; comes before the request's. */
  readonly query: Buffer | undefined;
}

/** What of it a request to a service by HTTP/2 is changed by. */
export type RequestTarget = Pick<RequestRewrite, "host" | "pathPrefix" | "query" | "trace">;

/** A rewrite whose parts are set anew for each request. */
export type MutableRewrite = { -readonly [Key in keyof RequestRewrite]: RequestRewrite[Key] };

/** Changes nothing but what every hop must. */
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
