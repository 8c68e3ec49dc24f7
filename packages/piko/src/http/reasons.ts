// Why a request failed, or why a part of its path ended early: the one table that the access log, metrics, error
// bodies and codecs use. docs/reference/reasons.md is generated from it.

/**
 * The cause of a failure: the client, this program with its limits and settings, or the upstream. `internal` is only used
 * between our own programs: no client's request ends with it.
 */
export type ReasonSide = "client" | "piko" | "upstream" | "internal";

/** The code of a reason, as used in the log, in metrics and in response bodies. */
export type ReasonCode =
  | "bad_request"
  | "too_large"
  | "request_timeout"
  | "no_endpoint"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "client_gone"
  | "client_stuck"
  | "deadline"
  | "limit"
  | "auth_unready"
  | "shutdown"
  | "no_upstream"
  | "node_unreachable"
  | "tunnel_lost"
  | "silent"
  | "refused"
  | "connect_refused"
  | "connect_timeout"
  | "connect_failed"
  | "lost"
  | "reset"
  | "cut"
  | "bad_response"
  | "head_too_large"
  | "bad_switch"
  | "timeout"
  | "rerouted"
  | "early";

interface Declared {
  readonly side: ReasonSide;
  /** In lower case; may be shown to a client. */
  readonly message: string;
  /** For the reference: what happened. */
  readonly about: string;
  /** For the reference: what to check. */
  readonly remedy: string;
}

const TABLE: Readonly<Record<ReasonCode, Declared>> = {
  // Caused by the client.
  bad_request: {
    side: "client",
    message: "bad request",
    about: "The request isn't valid HTTP, or its body doesn't match its head.",
    remedy: "`error` in the response names the rule. Look at the program that sent the request.",
  },
  too_large: {
    side: "client",
    message: "request too large",
    about: "The request's head, target or body exceeds a limit of the node.",
    remedy:
      "`proxy.http.max_header_bytes`, `proxy.limits.max_header_fields`, `max_target_bytes`, `max_body_bytes`.",
  },
  request_timeout: {
    side: "client",
    message: "request timeout",
    about: "The client began a request and stopped sending.",
    remedy: "`proxy.http.read_header_timeout`, `proxy.http.read_timeout`; otherwise the client's network.",
  },
  no_endpoint: {
    side: "client",
    message: "missing endpoint id",
    about:
      "The request names no valid endpoint, neither in `x-piko-endpoint` nor as the first label of its host.",
    remedy: "Use a host such as `my-endpoint.example.com`, or send `x-piko-endpoint`.",
  },
  unauthorized: {
    side: "client",
    message: "unauthorized",
    about:
      "The token is missing or invalid, or doesn't permit the endpoint. The response doesn't say why; the `auth` log does.",
    remedy: "`piko token inspect`, and the `reason` of `piko_auth_refused_total`.",
  },
  forbidden: {
    side: "client",
    message: "forbidden",
    about: "A web page of another origin tried to open a TCP connection by WebSocket.",
    remedy: "Only programs, and pages of the same host, may do that.",
  },
  not_found: {
    side: "client",
    message: "not found",
    about: "The server has no such path under `/_piko`, or not with this method.",
    remedy: "`/_piko` is reserved: services can't be reached under it.",
  },
  client_gone: {
    side: "client",
    message: "client closed the connection",
    about: "The client disconnected before its response was complete.",
    remedy: "If there are many: the client's timeout is shorter than the service's response time.",
  },
  client_stuck: {
    side: "client",
    message: "client takes nothing of the response",
    about: "The client read nothing of the response for too long.",
    remedy: "`proxy.http.write_timeout`; with HTTP/2 also `proxy.http2.max_unsent_bytes`.",
  },
  deadline: {
    side: "client",
    message: "deadline exceeded",
    about: "The deadline of a gRPC client (`grpc-timeout`) has passed.",
    remedy: "The service is slower than its client expects.",
  },
  // Caused by this program: what it can't or won't do now.
  limit: {
    side: "piko",
    message: "a limit was reached",
    about: "A limit for concurrent things, or a rate limit, was reached.",
    remedy: "`piko_proxy_limited_total` says which one; [limits](limits.md) explains it.",
  },
  auth_unready: {
    side: "piko",
    message: "authentication is not ready",
    about: "Tokens can't be verified now: the keys are unavailable, or too many tokens are waiting.",
    remedy: "The `auth` log; `piko_auth_jwks_age_seconds`, `piko_auth_pending`.",
  },
  shutdown: {
    side: "piko",
    message: "node is stopping",
    about: "The node stopped, and the request didn't end within `grace_period`.",
    remedy: "A longer `grace_period`, or shorter requests.",
  },
  // Caused by the upstream.
  no_upstream: {
    side: "upstream",
    message: "no available upstreams",
    about: "No agent listens on the endpoint, on any node, nor did one for `proxy.reconnect_wait`.",
    remedy:
      "Is the agent running, and connected (`piko server status endpoint ID`)? Is the endpoint id correct?",
  },
  node_unreachable: {
    side: "upstream",
    message: "node unreachable",
    about: "The endpoint is on another node, whose proxy port doesn't accept connections.",
    remedy: "`proxy.advertise_addr` of that node (`hop` in the log), and the network between the nodes.",
  },
  tunnel_lost: {
    side: "upstream",
    message: "tunnel lost",
    about: "The agent's tunnel ended during the request.",
    remedy: "`upstream disconnected` in the log, which has the reason; the agent's own log.",
  },
  silent: {
    side: "upstream",
    message: "upstream is silent",
    about:
      "The agent, or the other node, didn't accept the request although its connection is open; or a service that speaks HTTP/2 didn't answer a ping.",
    remedy:
      "[Silent agents](../guides/operating.md#silent-agents): too little CPU, or a network that drops packets.",
  },
  refused: {
    side: "upstream",
    message: "upstream refused the request",
    about: "The agent, or a service that speaks HTTP/2, accepts no more streams, or has too many.",
    remedy: "It is stopping or overloaded: add agents, or look at `upstream.limits`.",
  },
  connect_refused: {
    side: "upstream",
    message: "service refused the connection",
    about: "Nothing listens at the service's address.",
    remedy: "Is the service running? Is the address in the agent's configuration correct?",
  },
  connect_timeout: {
    side: "upstream",
    message: "service could not be connected to in time",
    about: "The service's address didn't answer within the listener's `timeout`.",
    remedy: "A firewall between agent and service, or a machine that is down.",
  },
  connect_failed: {
    side: "upstream",
    message: "upstream unreachable",
    about: "The agent could not connect to the service for another reason: name resolution, routing, TLS.",
    remedy: "`upstream unreachable` in the agent's log has the reason.",
  },
  lost: {
    side: "upstream",
    message: "upstream closed before its response",
    about: "The service, or the other node, closed its connection without a response.",
    remedy: "The service's log: it may have crashed, or aborted the request.",
  },
  reset: {
    side: "upstream",
    message: "upstream reset the request",
    about: "The service, the agent or the other node reset the request's connection.",
    remedy: "The service's log; the agent's access log also has a line for the request.",
  },
  cut: {
    side: "upstream",
    message: "upstream closed within its response",
    about: "The response ended before it was complete. The client sees that its connection is cut.",
    remedy: "The service's log.",
  },
  bad_response: {
    side: "upstream",
    message: "upstream sent an invalid response",
    about: "The service's response isn't valid HTTP.",
    remedy: "`upstream response refused` in the log names the rule.",
  },
  head_too_large: {
    side: "upstream",
    message: "response head too large",
    about: "The response's head is larger than `max_response_header_bytes`.",
    remedy: "`proxy.limits.max_response_header_bytes`, `http_client.max_response_header_bytes` of the agent.",
  },
  bad_switch: {
    side: "upstream",
    message: "upstream switched to a protocol that was not asked for",
    about: "The service answered 101 to a request that asked for no upgrade, or for another one.",
    remedy: "The service speaks another protocol than its client.",
  },
  timeout: {
    side: "upstream",
    message: "upstream timeout",
    about: "The response didn't begin in time.",
    remedy: "The service is slower than `proxy.timeout` of the node or `timeout` of the agent's listener.",
  },
  // Between our own programs; no client's request ends with them.
  rerouted: {
    side: "internal",
    message: "endpoint is better served by another node",
    about: "The node returned a request to the node that it came from, which sends it elsewhere.",
    remedy: "Nothing: agents have moved.",
  },
  early: {
    side: "internal",
    message: "response ended before its request",
    about: "The service responded before it had received the whole request.",
    remedy: "Nothing.",
  },
};

/** A reason. Its texts all come from this table, never from a peer. */
export interface Reason extends Declared {
  readonly code: ReasonCode;
  /** Its index in the table, for counters. */
  readonly place: number;
}

/** All reasons, in the order of the table. */
export const ALL_REASONS: readonly Reason[] = Object.freeze(
  Object.entries(TABLE).map(([code, declared], place) =>
    Object.freeze({ ...declared, code: code as ReasonCode, place }),
  ),
);

const BY_CODE: ReadonlyMap<string, Reason> = new Map(ALL_REASONS.map((reason) => [reason.code, reason]));

/** All reasons, by code. */
export const REASONS: Readonly<Record<ReasonCode, Reason>> = Object.freeze(
  Object.fromEntries(BY_CODE) as Record<ReasonCode, Reason>,
);

/** The reason with this code; undefined if there is none, since a peer may send anything. */
export function reasonOf(code: string | undefined): Reason | undefined {
  return code === undefined ? undefined : BY_CODE.get(code);
}

/** Carries the code in the responses of our own programs, so that a node learns the reason from its agent. */
export const REASON_FIELD = "x-piko-reason";
