// Every way in which a tunnel ends that isn't a normal close, as one table of codes.

/** Codes of {@link TunnelError}; stable, for programs to branch on. */
export const TUNNEL_ERRORS = {
  PIKO_WS_BAD_FRAME: "a WebSocket frame breaks RFC 6455",
  PIKO_WS_TEXT_MESSAGE: "a text message arrived where only binary ones are carried",
  PIKO_WS_CLOSED: "the peer closed the WebSocket with a code other than 1000",
  PIKO_WS_BAD_HANDSHAKE: "the WebSocket handshake was answered wrongly",
  PIKO_WS_REFUSED: "the WebSocket handshake was refused with an HTTP status",
  PIKO_YAMUX_BAD_FRAME: "a yamux frame breaks the protocol",
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
