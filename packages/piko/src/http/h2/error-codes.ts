// Why a stream or a connection ends early: the codes of RST_STREAM and GOAWAY (RFC 9113 section 7).

export const NO_ERROR = 0x0;
export const PROTOCOL_ERROR = 0x1;
export const INTERNAL_ERROR = 0x2;
export const FLOW_CONTROL_ERROR = 0x3;
export const STREAM_CLOSED = 0x5;
export const FRAME_SIZE_ERROR = 0x6;
export const REFUSED_STREAM = 0x7;
export const CANCEL = 0x8;
export const COMPRESSION_ERROR = 0x9;
export const ENHANCE_YOUR_CALM = 0xb;
/** Used instead of a code if the connection is gone. */
export const CONNECTION_GONE = -1;

/** An error that ends a connection: a code for the peer, and a message for the peer and the log. */
export interface ConnectionError {
  readonly code: number;
  /** In lower case; contains nothing that the peer has sent. */
  readonly message: string;
}

/** Creates a frozen error. */
export function connectionError(code: number, message: string): ConnectionError {
  return Object.freeze({ code, message });
}
