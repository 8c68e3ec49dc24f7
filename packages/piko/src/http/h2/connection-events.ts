// The events between an HTTP/2 connection and its owner.

import type { ByteBudget } from "../../net/byte-budget.js";
import type { ConnectionError } from "./error-codes.js";
import type { RequestFields } from "./request-fields.js";
import type { ResponseFields } from "./response-fields.js";
import type { H2Stream } from "./stream.js";
import type { TrailerFields } from "./trailer-fields.js";

/** A named limit of a connection. */
export type H2Limit = "max_concurrent_streams" | "max_control_frames" | "max_resets" | "max_header_bytes";

/** Limits for what a peer may do on one connection. */
export interface ConnectionLimits {
  readonly maxHeaderTableBytes: number;
  /** Maximum size of a message's fields, and of an encoded header block. */
  readonly maxHeaderBytes: number;
  /** Receive windows: maximum bytes in transit or unconsumed, per stream and per connection. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Maximum number of frames that cause no work for a service, within {@link REFILL_MS}. */
  readonly maxControlFrames: number;
}

/** Limits for what a client may do on a connection to our server. */
export interface H2Limits extends ConnectionLimits {
  readonly maxConcurrentStreams: number;
  /** Maximum number of streams that are reset within {@link REFILL_MS}. */
  readonly maxResets: number;
}

/** Limits for our own connections to a server. */
export interface ClientLimits extends ConnectionLimits {
  /** Maximum number of concurrent streams; the server may allow fewer. */
  readonly maxConcurrentStreams: number;
}

/** Budgets for the memory that connections hold. */
export interface H2Memory {
  /** Header blocks that have arrived in part. */
  readonly blocks: ByteBudget;
  /** Bytes of bodies that are queued until a window opens. */
  readonly unsent: ByteBudget;
}

/** Time in which an exhausted frame budget is replenished, in milliseconds. */
export const REFILL_MS = 10_000;

/** The events that the owner of a connection receives, on either side. */
export interface ConnectionEvents {
  /** Reads the fields after a body. */
  readonly trailerFields: TrailerFields;
  /** A stream was refused, or the connection is about to end, because of this limit. */
  onLimit(limit: H2Limit): void;
  /** The last stream has ended. */
  onIdle(): void;
  /** The connection can't continue; the peer has been sent the reason. Nothing is read from now on. */
  onFailed(error: ConnectionError): void;
}

/** The events that the owner of the server's side receives. */
export interface ServerEvents extends ConnectionEvents {
  /** Reads the fields of a request. */
  readonly requestFields: RequestFields;
  /** A request has arrived; its fields are in `requestFields`. `last`: it has no body. */
  onStream(stream: H2Stream, last: boolean): void;
}

/** The events that the owner of the client's side receives. */
export interface ClientEvents extends ConnectionEvents {
  /** Reads the fields of a response. */
  readonly responseFields: ResponseFields;
  /** The head of a response, interim or final, has arrived; its fields are in `responseFields`. `last`: nothing follows. */
  onHead(stream: H2Stream, last: boolean): void;
  /** The server accepts no more streams. Those that it won't process have already been reset. */
  onGoAway(): void;
}
