// The connection that a client's requests come on, and what the port needs from it.

import type { ByteSocket } from "@piko/tunnel";
import type { HttpError } from "../../http/errors.js";
import type { RequestHead } from "../../http/head.js";
import { forwardedClient } from "../exchange/forwarded-fields.js";
import type { ProxyContext } from "../exchange/proxy-context.js";

/** Whose connection it is. */
export interface Client {
  /** For logs and X-Forwarded-For: the peer's address, or what a PROXY protocol header says. */
  readonly address: string;
  /** A trusted proxy. */
  readonly trusted: boolean;
  /** It speaks TLS with this node. */
  readonly secure: boolean;
  /** Whom its certificate is made out to; empty for none. */
  readonly certificate: string;
  /** The connection counts as one of this address. */
  readonly counted: boolean;
  /** It is good for requests of other nodes alone; others are refused like this. */
  readonly hopsOnly?: HttpError | undefined;
  /** Another node has sent a request on this connection. */
  readonly onHop?: () => void;
}

/** A connection, whatever its protocol. */
export interface ClientConnection {
  readonly socket: ByteSocket;
  readonly client: Client;
  /** The node stops: an idle connection ends, another after its responses. */
  stop(): void;
  /** Its certificate is no longer valid: no other request. What is in progress may end, and so may the raw bytes of an upgrade. */
  retire(): void;
  /** The node ends: what is in progress is cut. */
  cut(): void;
}

/** The sender of a request, as far as it is known; for the log. */
export function senderOf(
  head: RequestHead,
  { address, trusted }: Client,
  { accessLog, config }: ProxyContext,
): string {
  if (!trusted || !accessLog.enabled) return address;
  return forwardedClient(head, address, (one) => config.trustedProxies.includes(one));
}
