// What a node's life cycle needs from its client's side, beyond what every exchange needs.

import type { ByteSocket } from "@piko/tunnel";
import type { HttpError } from "../../http/errors.js";
import type { ClientSide } from "../../http/exchange/client-side.js";

export interface NodeClient extends ClientSide {
  readonly client: {
    /** The peer's address, or what a PROXY protocol header says. */
    readonly address: string;
    /** A trusted proxy. */
    readonly trusted: boolean;
    /** It speaks TLS with this node. */
    readonly secure: boolean;
    /** Whom its certificate is made out to; empty for none. */
    readonly certificate: string;
    /** Only requests of other nodes are taken; others are refused like this. */
    readonly hopsOnly?: HttpError | undefined;
    /** Another node has sent a request on this connection. */
    readonly onHop?: () => void;
  };
  /** The connection, where it carries one request at a time and can become something else. */
  readonly raw: RawConnection | undefined;
}

/** A client's connection that another handler can take over. */
export interface RawConnection {
  /** Leaves the socket to a handler that replaces the client's side; `release` follows when it is closed. */
  handOver(): ByteSocket;
  /** Passes that handler the bytes read before it was set. */
  passAhead(): void;
  release(): void;
}
