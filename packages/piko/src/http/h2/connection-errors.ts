// The errors that end a connection (RFC 9113 section 5.4.1).

import {
  type ConnectionError,
  connectionError,
  COMPRESSION_ERROR,
  ENHANCE_YOUR_CALM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  PROTOCOL_ERROR,
  STREAM_CLOSED,
} from "./error-codes.js";

/** The names of the errors. */
export type ConnectionErrorName =
  | "PREFACE"
  | "FIRST_FRAME"
  | "STREAM_ID"
  | "IDLE_STREAM"
  | "CLOSED_STREAM"
  | "SIZE"
  | "PADDING"
  | "PUSH"
  | "COMPRESSION"
  | "BLOCK"
  | "BLOCK_SIZE"
  | "WINDOW"
  | "WINDOW_SIZE"
  | "NO_INCREMENT"
  | "CONTROLS"
  | "RESETS";

const ERRORS: Readonly<Record<ConnectionErrorName, readonly [code: number, message: string]>> = {
  PREFACE: [PROTOCOL_ERROR, "invalid connection preface"],
  FIRST_FRAME: [PROTOCOL_ERROR, "first frame is not settings"],
  STREAM_ID: [PROTOCOL_ERROR, "frame on the wrong stream"],
  IDLE_STREAM: [PROTOCOL_ERROR, "frame on a stream that was not opened"],
  CLOSED_STREAM: [STREAM_CLOSED, "frame on a stream that has ended"],
  SIZE: [FRAME_SIZE_ERROR, "frame of the wrong size"],
  PADDING: [PROTOCOL_ERROR, "padding longer than its frame"],
  PUSH: [PROTOCOL_ERROR, "push that nobody has asked for"],
  COMPRESSION: [COMPRESSION_ERROR, "invalid header block"],
  BLOCK: [PROTOCOL_ERROR, "header block interrupted"],
  BLOCK_SIZE: [ENHANCE_YOUR_CALM, "header block too large"],
  WINDOW: [FLOW_CONTROL_ERROR, "window overrun"],
  WINDOW_SIZE: [FLOW_CONTROL_ERROR, "window above 2^31-1"],
  NO_INCREMENT: [PROTOCOL_ERROR, "window update of 0"],
  CONTROLS: [ENHANCE_YOUR_CALM, "too many control frames"],
  RESETS: [ENHANCE_YOUR_CALM, "too many streams reset"],
};

/** All errors, by name. */
export const CONNECTION_ERRORS: Readonly<Record<ConnectionErrorName, ConnectionError>> = Object.freeze(
  Object.fromEntries(
    Object.entries(ERRORS).map(([name, [code, message]]) => [name, connectionError(code, message)]),
  ) as Record<ConnectionErrorName, ConnectionError>,
);
