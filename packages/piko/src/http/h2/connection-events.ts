// What an HTTP/2 connection is told by its owner, and tells it.

import type { ByteBudget } from "../../net/byte-budget.js";
import type { ConnectionError } from "./error-codes.js";
import type { RequestFields } from "./request-fields.js";
import type { H2Stream } from "./stream.js";
import type { TrailerFields } from "./trailer-fields.js";

/** A named limit of a connection. */
export type H2Limit = "max_concurrent_streams" | "max_control_frames" | "max_resets" | "max_header_bytes";

/** How much a peer may ask of one connection. */
export interface H2Limits {
  readonly maxConcurrentStreams: number;
  readonly maxHeaderTableBytes: number;
  /** Of all fields of a message, and of a header block as it comes. */
  readonly maxHeaderBytes: number;
  /** Bytes that wait: of one stream, of all of them. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Streams that may be reset, and frames that ask nothing of a service, in {@link REFILL_MS}. */
  readonly maxResets: number;
  readonly maxControlFrames: number;
}

/** Where connections count what they hold. */
export interface H2Memory {
  /** Header blocks in parts. */
  readonly blocks: ByteBudget;
  /** Bytes of bodies that wait for windows. */
  readonly unsent: ByteBudget;
}

/** What a peer may do at once it may do again in this time. */
export const REFILL_MS = 10_000;

/** What the owner is told. */
export interface ConnectionEvents {
  /** Where fields are read to. */
  readonly requestFields: RequestFields;
  readonly trailerFields: TrailerFields;
  /** A request has come, whose fields are in `requestFields`. `last`: it has no body. */
  onStream(stream: H2Stream, last: boolean): void;
  /** A stream was refused, or the connection is about to end, for this limit. */
  onLimit(limit: H2Limit): void;
  /** The last stream is over. */
  onIdle(): void;
  /** The connection can't go on; the peer has been told why. Nothing is read after it. */
  onFailed(error: ConnectionError): void;
}
