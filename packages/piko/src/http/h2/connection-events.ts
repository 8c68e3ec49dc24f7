// The events between an HTTP/2 connection and its owner.

import type { ByteBudget } from "../../net/byte-budget.js";
import type { ConnectionError } from "./error-codes.js";
import type { RequestFields } from "./request-fields.js";
import type { ResponseFields } from "./response-fields.js";
import type { H2Stream } from "./stream.js";
import type { TrailerFields } from "./trailer-fields.js";

/** A named limit of a connection. */
export type H2Limit = "max_concurrent_streams" | "max_control_frames" | "max_resets" | "max_header_bytes";

/** How much a peer may ask of one connection. */
export interface ConnectionLimits {
  readonly maxHeaderTableBytes: number;
  /** Of all fields of a message, and of a header block as it comes. */
  readonly maxHeaderBytes: number;
  /** Bytes that wait: of one stream, of all of them. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Frames that cause no work for a service, in {@link REFILL_MS}. */
  readonly maxControlFrames: number;
}

/** What a client may ask of a server. */
export interface H2Limits extends ConnectionLimits {
  readonly maxConcurrentStreams: number;
  /** Streams that may be reset in {@link REFILL_MS}. */
  readonly maxResets: number;
}

/** What a client asks of a server. */
export interface ClientLimits extends ConnectionLimits {
  /** Streams that are open at a time, where the server doesn't take fewer. */
  readonly maxConcurrentStreams: number;
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

/** The events that the owner of either side receives. */
export interface ConnectionEvents {
  /** Where the fields after a body are read to. */
  readonly trailerFields: TrailerFields;
  /** A stream was refused, or the connection is about to end, for this limit. */
  onLimit(limit: H2Limit): void;
  /** The last stream is over. */
  onIdle(): void;
  /** The connection can't continue; the peer has been told why. Nothing is read after it. */
  onFailed(error: ConnectionError): void;
}

/** The events that the owner of a server's side receives. */
export interface ServerEvents extends ConnectionEvents {
  /** Where the fields of a request are read to. */
  readonly requestFields: RequestFields;
  /** A request has come, whose fields are in `requestFields`. `last`: it has no body. */
  onStream(stream: H2Stream, last: boolean): void;
}

/** The events that the owner of a client's side receives. */
export interface ClientEvents extends ConnectionEvents {
  /** Where the fields of a response are read to. */
  readonly responseFields: ResponseFields;
  /** A head has come, interim ones too, whose fields are in `responseFields`. `last`: nothing follows. */
  onHead(stream: H2Stream, last: boolean): void;
  /** The server takes no more streams. Those that it won't look at are reset by now. */
  onGoAway(): void;
}
