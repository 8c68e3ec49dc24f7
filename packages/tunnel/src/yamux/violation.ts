// Which ends of a session are the peer's fault: it gets GoAway(1), and its WebSocket is closed with 1002. All others are
// reported to it as internal errors.

import type { TunnelErrorCode } from "../errors.js";

const VIOLATIONS: ReadonlySet<TunnelErrorCode> = new Set<TunnelErrorCode>([
  "PIKO_YAMUX_VERSION",
  "PIKO_YAMUX_FRAME_TYPE",
  "PIKO_YAMUX_SECOND_SYN",
  "PIKO_YAMUX_STREAM_ID",
  "PIKO_YAMUX_SECOND_FIN",
  "PIKO_YAMUX_WINDOW_EXCEEDED",
]);

/** Whether the peer has violated the yamux protocol. */
export function isViolation(code: TunnelErrorCode): boolean {
  return VIOLATIONS.has(code);
}
