// Dials an endpoint through a server's proxy port: a WebSocket whose payload is the raw bytes of the connection.

import { openWebSocket, type OpenedWebSocket } from "./open-websocket.js";
import type { ServerOptions } from "./upstream-options.js";
import { endpointSegment } from "./server-address.js";
import { type Clock, HALF_CLOSE } from "@piko/tunnel";

/** How to dial an endpoint; `url` is that of the proxy port. */
export interface OpenEndpointOptions extends Omit<ServerOptions, "tenantId"> {
  readonly endpointId: string;
  /** Default 60,000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Opens a connection to a listener on an endpoint; pass the result to `startWebSocket`. Rejects with a ClientError, with status
 * 502 if there is no listener.
 */
export async function openEndpoint(options: OpenEndpointOptions): Promise<OpenedWebSocket> {
  const { endpointId, ...rest } = options;
  const path = `/_piko/v1/tcp/${endpointSegment(endpointId)}`;
  return await openWebSocket({ ...rest, path, capabilities: HALF_CLOSE });
}
