// Which ends of a session are the peer's fault: it is told so by GoAway(1), and its WebSocket closes with 1002. The others
// are an internal error to it.

import type { TunnelErrorCode } from "../errors.js";

const VIOLATIONS: ReadonlySet<TunnelErrorCode> = new Set<TunnelErrorCode>([
  "PIKO_YAMUX_VERSION",
  "PIKO_YAMUX_FRAME_TYPE",
  "PIKO_YAMUX_SECOND_SYN",
  "PIKO_YAMUX_STREAM_ID",
  "PIKO_YAMUX_SECOND_FIN",
  "PIKO_YAMUX_WINDOW_EXCEEDED",
]);

/** Whether the peer has broken the yamux protocol. */
export function isViolation(code: TunnelErrorCode): boolean {
  return VIOLATIONS.has(code);
}
