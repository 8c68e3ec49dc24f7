// The servers to which a listener can pass its connections.

import { Server as HttpServer } from "node:http";
import { Server as NetServer } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { EndpointSocket } from "./endpoint-socket.js";
import { ClientError } from "./errors.js";

/** A server that accepts connections by its `connection` event, as `http.Server` does. */
export interface ConnectionServer {
  emit(event: "connection", socket: EndpointSocket): boolean;
}

/**
 * Whether a value is such a server. An application that only has events, such as Koa's, doesn't accept connections.
 *
 * @throws ClientError for a server that accepts only encrypted connections.
 */
export function isConnectionServer(value: unknown): value is ConnectionServer {
  if (value instanceof TlsServer) {
    const reason = "connections come without TLS, which ends at the piko server: pass a server of node:http";
    throw new ClientError("PIKO_CLIENT_BAD_OPTION", `server: ${reason}`);
  }
  // In Bun, neither class extends the other.
  if (value instanceof NetServer || value instanceof HttpServer) return true;
  if (typeof value !== "object" || value === null) return false;
  const { emit, listenerCount } = value as { emit?: unknown; listenerCount?: unknown };
  if (typeof emit !== "function") return false;
  return typeof listenerCount !== "function" || Number(listenerCount.call(value, "connection")) > 0;
}
