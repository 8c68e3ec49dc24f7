// Which streams frames may be on, and how long they may be (RFC 9113 section 6): the checks that only need a frame's header.

import { CONNECTION_ERRORS } from "./connection-errors.js";
import type { ConnectionError } from "./error-codes.js";
import * as frames from "./frame.js";
import { SETTING_BYTES } from "./settings.js";

/** Length of a GOAWAY frame's payload without its message. */
const MIN_GOAWAY_BYTES = 8;

/** The error by which a frame ends its connection; undefined if it doesn't. */
export function frameError(
  type: number,
  flags: number,
  streamId: number,
  length: number,
): ConnectionError | undefined {
  const { PUSH, SIZE, STREAM_ID } = CONNECTION_ERRORS;
  switch (type) {
    case frames.HEADERS:
      // Clients' streams have odd ids. Even ones would be pushed by a server.
      return (streamId & 1) === 0 ? STREAM_ID : undefined;
    case frames.PRIORITY:
      return streamId === 0 ? STREAM_ID : undefined;
    case frames.RST_STREAM:
      return streamId === 0 ? STREAM_ID : length === 4 ? undefined : SIZE;
    case frames.SETTINGS:
      if (streamId !== 0) return STREAM_ID;
      if ((flags & frames.FLAG_ACK) !== 0) return length === 0 ? undefined : SIZE;
      return length % SETTING_BYTES === 0 ? undefined : SIZE;
    case frames.PUSH_PROMISE:
      return PUSH;
    case frames.PING:
      return streamId !== 0 ? STREAM_ID : length === frames.PING_BYTES ? undefined : SIZE;
    case frames.GOAWAY:
      return streamId !== 0 ? STREAM_ID : length >= MIN_GOAWAY_BYTES ? undefined : SIZE;
    case frames.WINDOW_UPDATE:
      return length === 4 ? undefined : SIZE;
    default:
      return undefined;
  }
}
