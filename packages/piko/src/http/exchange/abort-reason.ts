// Why something on a request's way ended before its time: one table, which log lines, error bodies and codecs use.

/** A reason. `code` is for programs and metrics, `message` for people; neither ever holds what a peer has sent. */
export interface AbortReason {
  readonly code: string;
  readonly message: string;
}

const REASONS = {
  client_gone: "client closed the connection",
  client_stuck: "client takes nothing of the response",
  no_upstream: "no available upstreams",
  connect_failed: "upstream unreachable",
  refused: "upstream refused the request",
  lost: "upstream closed before its response",
  reset: "upstream reset the request",
  cut: "upstream closed within its response",
  bad_response: "upstream sent an invalid response",
  head_too_large: "response head too large",
  bad_switch: "upstream switched to a protocol that was not asked for",
  rerouted: "endpoint has moved to another node",
  silent: "upstream is silent",
  timeout: "upstream timeout",
  bad_request: "request body refused",
  limit: "a limit was reached",
  early: "response ended before its request",
} as const;

/** The code of a reason. */
export type AbortCode = keyof typeof REASONS;

/** The table. */
export const ABORT: Readonly<Record<AbortCode, AbortReason>> = Object.freeze(
  Object.fromEntries(
    Object.entries(REASONS).map(([code, message]) => [code, Object.freeze({ code, message })]),
  ) as Record<AbortCode, AbortReason>,
);
