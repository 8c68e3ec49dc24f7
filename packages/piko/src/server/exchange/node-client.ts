// What a node's life cycle needs from the client's side, in addition to what every exchange needs.

import type { ByteSocket } from "@piko/tunnel";
import type { HttpError } from "../../http/errors.js";
import type { ClientSide } from "../../http/exchange/client-side.js";

export interface NodeClient extends ClientSide {
  readonly client: {
    /** The peer's address, or the address from a PROXY protocol header. */
    readonly address: string;
    /** Whether the client is a trusted proxy. */
    readonly trusted: boolean;
    /** Whether the client uses TLS with this node. */
    readonly secure: boolean;
    /** The subject of its certificate; empty if there is none. */
    readonly certificate: string;
    /** If set, only requests of other nodes are accepted; others are refused with this error. */
    readonly hopsOnly?: HttpError | undefined;
    /** Called when another node has sent a request on this connection. */
    readonly onHop?: () => void;
  };
  /** The connection, if it carries one request at a time and another handler can take it over. */
  readonly raw: RawConnection | undefined;
}

/** A client's connection that another handler can take over. */
export interface RawConnection {
  /** Leaves the socket to a handler that replaces the client's side; `release` follows when it is closed. */
  handOver(): ByteSocket;
  /** Passes bytes that were already read to that handler. */
  passAhead(): void;
  release(): void;
}
