// A client's connection, of any protocol, as the proxy port sees it.

import type { ByteSocket } from "@piko/tunnel";
import type { HttpError } from "../../http/errors.js";
import type { RequestHead } from "../../http/head.js";
import { forwardedClient } from "../exchange/forwarded-fields.js";
import type { ProxyContext } from "../exchange/proxy-context.js";

/** The client at the other end of a connection. */
export interface Client {
  /** For logs and X-Forwarded-For: the peer's address, or the address from a PROXY protocol header. */
  readonly address: string;
  /** Whether the client is a trusted proxy. */
  readonly trusted: boolean;
  /** Whether the client uses TLS with this node. */
  readonly secure: boolean;
  /** The subject of its certificate; empty if there is none. */
  readonly certificate: string;
  /** Whether the connection counts toward the limit of this address. */
  readonly counted: boolean;
  /** If set, only requests of other nodes are accepted; others are refused with this error. */
  readonly hopsOnly?: HttpError | undefined;
  /** Called when another node has sent a request on this connection. */
  readonly onHop?: () => void;
}

/** A connection of any protocol. */
export interface ClientConnection {
  readonly socket: ByteSocket;
  readonly client: Client;
  /** The node is stopping: an idle connection ends, a busy one ends after its responses. */
  stop(): void;
  /** The client's certificate is no longer accepted: no further requests. Requests and upgrades in progress may finish. */
  retire(): void;
  /** The node ends: cuts the connection. */
  cut(): void;
}

/** The address of a request's sender, as far as it is known; for the log. */
export function senderOf(
  head: RequestHead,
  { address, trusted }: Client,
  { accessLog, config }: ProxyContext,
): string {
  if (!trusted || !accessLog.enabled) return address;
  return forwardedClient(head, address, (one) => config.trustedProxies.includes(one));
}
