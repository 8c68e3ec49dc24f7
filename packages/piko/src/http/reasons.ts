// Why a request failed, or something on its way ended before its time: the one table that the access log, metrics, error
// bodies and codecs use. docs/reference/reasons.md is made from it.

/**
 * Whose affair a failure is: the client's, this program's with its limits and settings, that of what is behind it, or
 * nobody's: programs of ours tell each other, and no client's request ends by it.
 */
export type ReasonSide = "client" | "piko" | "upstream" | "internal";

/** The code of a reason: what log, metrics and bodies say. */
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
  /** Lower case, fit for a client to see. */
  readonly message: string;
  /** For the reference: what has happened. */
  readonly about: string;
  /** For the reference: what to look at. */
  readonly remedy: string;
}

const TABLE: Readonly<Record<ReasonCode, Declared>> = {
  // What clients send.
  bad_request: {
    side: "client",
    message: "bad request",
    about: "The request isn't HTTP as it must be, or its body isn't what its head says.",
    remedy: "Look at `error` in the answer, which names the rule, and at the program that sent it.",
  },
  too_large: {
    side: "client",
    message: "request too large",
    about: "The request's head, target or body is larger than a limit of the node.",
    remedy:
      "`proxy.http.max_header_bytes`, `proxy.limits.max_header_fields`, `max_target_bytes`, `max_body_bytes`.",
  },
  request_timeout: {
    side: "client",
    message: "request timeout",
    about: "The client has begun a request and didn't go on with it.",
    remedy: "`proxy.http.read_header_timeout`, `proxy.http.read_timeout`; else the client's network.",
  },
  no_endpoint: {
    side: "client",
    message: "missing endpoint id",
    about:
      "The request names no endpoint that there can be: neither `x-piko-endpoint` nor the first label of its host.",
    remedy: "Ask for a host such as `my-endpoint.example.com`, or send `x-piko-endpoint`.",
  },
  unauthorized: {
    side: "client",
    message: "unauthorized",
    about:
      "The token is missing or isn't valid, or doesn't permit the endpoint. The answer says no more; the log of `auth` does.",
    remedy: "`piko token inspect`, and `piko_auth_refused_total` by its reason.",
  },
  forbidden: {
    side: "client",
    message: "forbidden",
    about: "A web page of another origin has opened a TCP connection by WebSocket.",
    remedy: "Only programs, and pages of the same host, may.",
  },
  not_found: {
    side: "client",
    message: "not found",
    about: "There is no such path, or not with this method, among the server's own under `/_piko`.",
    remedy: "Services can't be reached under `/_piko`.",
  },
  client_gone: {
    side: "client",
    message: "client closed the connection",
    about: "The client has left before its answer was whole.",
    remedy: "If there are many: its time limit is shorter than the service's answer takes.",
  },
  client_stuck: {
    side: "client",
    message: "client takes nothing of the response",
    about: "The client has taken nothing of the response for too long.",
    remedy: "`proxy.http.write_timeout`; with HTTP/2 also `proxy.http2.max_unsent_bytes`.",
  },
  deadline: {
    side: "client",
    message: "deadline exceeded",
    about: "The time that a gRPC client waits (`grpc-timeout`) is over.",
    remedy: "The service is slower than its client expects.",
  },
  // What this program can't do now, or doesn't want to.
  limit: {
    side: "piko",
    message: "a limit was reached",
    about: "A limit of what there may be at a time, or in a second, is reached.",
    remedy: "`piko_proxy_limited_total` says which; [limits](limits.md) what it is for.",
  },
  auth_unready: {
    side: "piko",
    message: "authentication is not ready",
    about: "Tokens can't be verified now: the keys can't be had, or too many wait.",
    remedy: "The log of `auth`; `piko_auth_jwks_age_seconds`, `piko_auth_pending`.",
  },
  shutdown: {
    side: "piko",
    message: "node is stopping",
    about: "The node has ended, and the request hadn't within `grace_period`.",
    remedy: "A longer `grace_period`, or shorter requests.",
  },
  // What is behind it.
  no_upstream: {
    side: "upstream",
    message: "no available upstreams",
    about: "Nobody listens on the endpoint, on any node, and hasn't for `proxy.reconnect_wait`.",
    remedy:
      "Is its agent running, and connected (`piko server status endpoint ID`)? Is the endpoint spelled right?",
  },
  node_unreachable: {
    side: "upstream",
    message: "node unreachable",
    about: "The endpoint is on another node whose proxy port can't be connected to.",
    remedy: "`proxy.advertise_addr` of that node (`hop` in the log), and what is between the nodes.",
  },
  tunnel_lost: {
    side: "upstream",
    message: "tunnel lost",
    about: "The agent's tunnel has ended while the request was on it.",
    remedy: "`upstream disconnected` in the log, which has the reason; the agent's own log.",
  },
  silent: {
    side: "upstream",
    message: "upstream is silent",
    about:
      "The agent, or the other node, has not taken the request, though its connection stands; or a service that speaks HTTP/2 doesn't answer a ping.",
    remedy:
      "[Silent agents](../guides/operating.md#silent-agents): too little CPU, or a network that swallows all.",
  },
  refused: {
    side: "upstream",
    message: "upstream refused the request",
    about: "The agent, or a service that speaks HTTP/2, takes no streams any more, or has too many.",
    remedy: "It stops, or is overloaded: more agents, or a limit of `upstream.limits`.",
  },
  connect_refused: {
    side: "upstream",
    message: "service refused the connection",
    about: "Nobody listens at the service's address.",
    remedy: "Is the service running there? The agent's address of it may be wrong.",
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
    about: "The agent could not connect to the service for another reason: a name, a route, TLS.",
    remedy: "`upstream unreachable` in the agent's log has the reason.",
  },
  lost: {
    side: "upstream",
    message: "upstream closed before its response",
    about: "The service, or the other node, has closed its connection without an answer.",
    remedy: "The service's log: it may have crashed, or given up the request.",
  },
  reset: {
    side: "upstream",
    message: "upstream reset the request",
    about: "The service, the agent or the other node has reset the connection of the request.",
    remedy: "The same; in the agent's log there is a line of the request too.",
  },
  cut: {
    side: "upstream",
    message: "upstream closed within its response",
    about: "The response has ended before it was whole. Its client sees a connection that is cut.",
    remedy: "The service's log.",
  },
  bad_response: {
    side: "upstream",
    message: "upstream sent an invalid response",
    about: "The service's response isn't HTTP as it must be.",
    remedy: "`upstream response refused` in the log names the rule.",
  },
  head_too_large: {
    side: "upstream",
    message: "response head too large",
    about: "The response has a larger head than `max_response_header_bytes` allows.",
    remedy: "`proxy.limits.max_response_header_bytes`, `http_client.max_response_header_bytes` of the agent.",
  },
  bad_switch: {
    side: "upstream",
    message: "upstream switched to a protocol that was not asked for",
    about: "The service has answered 101 to a request that asked for no such upgrade, or for another.",
    remedy: "The service speaks another protocol than its client.",
  },
  timeout: {
    side: "upstream",
    message: "upstream timeout",
    about: "The response hasn't begun in time.",
    remedy:
      "`proxy.timeout` of the node, `timeout` of the agent's listener; the service is slower than that.",
  },
  // Between programs of ours; no client's request ends by them.
  rerouted: {
    side: "internal",
    message: "endpoint is better served by another node",
    about: "The node has sent a request back to the one that it came from, which sends it elsewhere.",
    remedy: "None: agents have moved.",
  },
  early: {
    side: "internal",
    message: "response ended before its request",
    about: "The service has answered before it had all of the request.",
    remedy: "None.",
  },
};

/** A reason. Nothing in it is ever of a peer's making. */
export interface Reason extends Declared {
  readonly code: ReasonCode;
  /** Its place in the table, for counters. */
  readonly place: number;
}

/** All reasons, by their places. */
export const ALL_REASONS: readonly Reason[] = Object.freeze(
  Object.entries(TABLE).map(([code, declared], place) =>
    Object.freeze({ ...declared, code: code as ReasonCode, place }),
  ),
);

const BY_CODE: ReadonlyMap<string, Reason> = new Map(ALL_REASONS.map((reason) => [reason.code, reason]));

/** The table. */
export const REASONS: Readonly<Record<ReasonCode, Reason>> = Object.freeze(
  Object.fromEntries(BY_CODE) as Record<ReasonCode, Reason>,
);

/** The reason with this code; undefined for none, as what a peer says may be anything. */
export function reasonOf(code: string | undefined): Reason | undefined {
  return code === undefined ? undefined : BY_CODE.get(code);
}

/** Carries the code with the answers of our own programs, so that a node knows what its agent knows. */
export const REASON_FIELD = "x-piko-reason";
