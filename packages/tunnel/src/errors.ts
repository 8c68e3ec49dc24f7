// All abnormal ends of a tunnel, as one table of codes.

/** Codes of {@link TunnelError}; stable, for programs to branch on. */
export const TUNNEL_ERRORS = {
  PIKO_WS_RESERVED_BITS: "a WebSocket frame has reserved bits set (RFC 6455, 5.2)",
  PIKO_WS_UNKNOWN_OPCODE: "a WebSocket frame has a reserved opcode (RFC 6455, 5.2)",
  PIKO_WS_FRAME_LENGTH: "a WebSocket frame is longer than 2^53 - 1 bytes (RFC 6455, 5.2, allows 2^63 - 1)",
  PIKO_WS_NOT_MASKED: "a WebSocket client sent a frame without a mask (RFC 6455, 5.1)",
  PIKO_WS_MASKED: "a WebSocket server sent a masked frame (RFC 6455, 5.1)",
  PIKO_WS_STRAY_CONTINUATION: "a WebSocket continuation has no message to go on with (RFC 6455, 5.4)",
  PIKO_WS_UNFINISHED_MESSAGE: "a WebSocket message began inside another one (RFC 6455, 5.4)",
  PIKO_WS_FRAGMENTED_CONTROL: "a WebSocket control frame is fragmented (RFC 6455, 5.5)",
  PIKO_WS_CONTROL_LENGTH: "a WebSocket control frame is longer than 125 bytes (RFC 6455, 5.5)",
  PIKO_WS_CLOSE_CODE: "a WebSocket Close frame has a code that may not be sent (RFC 6455, 7.4)",
  PIKO_WS_CLOSE_REASON: "a WebSocket Close frame's reason isn't UTF-8 (RFC 6455, 5.5.1)",
  PIKO_WS_TEXT_MESSAGE: "a text message arrived where only binary ones are carried",
  PIKO_WS_CLOSED: "the peer closed the WebSocket with a code other than 1000",
  PIKO_WS_BAD_HANDSHAKE: "the WebSocket handshake was answered wrongly",
  PIKO_WS_REFUSED: "the WebSocket handshake was refused with an HTTP status",
  PIKO_YAMUX_VERSION: "a yamux frame has a version other than 0",
  PIKO_YAMUX_FRAME_TYPE: "a yamux frame is of a type that there isn't",
  PIKO_YAMUX_SECOND_SYN: "the peer opened a yamux stream that is open",
  PIKO_YAMUX_STREAM_ID: "the peer opened a yamux stream with an id that isn't its own to use",
  PIKO_YAMUX_SECOND_FIN: "the peer ended its direction of a yamux stream twice",
  PIKO_YAMUX_WINDOW_EXCEEDED: "the peer sent more than its stream's receive window",
  PIKO_YAMUX_GO_AWAY: "the peer ended the session with an error code",
  PIKO_YAMUX_KEEPALIVE: "the peer did not answer a ping in time",
  PIKO_YAMUX_OPEN_TIMEOUT: "the peer did not accept a stream in time",
  PIKO_YAMUX_IDS_EXHAUSTED: "the session has used all its stream ids",
  PIKO_TUNNEL_BACKLOG: "the peer reads too slowly for the answers that its frames cause",
  PIKO_TUNNEL_SOCKET: "the socket under the tunnel failed",
  PIKO_TUNNEL_EOF: "the socket under the tunnel ended without a close",
} as const;

/** One of the keys of {@link TUNNEL_ERRORS}. */
export type TunnelErrorCode = keyof typeof TUNNEL_ERRORS;

/** Why a WebSocket or yamux session ended, or could not be opened. */
export class TunnelError extends Error {
  /** Stable code; branch on this, not on the text. */
  readonly code: TunnelErrorCode;
  /** HTTP status of a refused handshake. */
  readonly status: number | undefined;

  constructor(code: TunnelErrorCode, message: string, options: { cause?: unknown; status?: number } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "TunnelError";
    this.code = code;
    this.status = options.status;
  }
}
