// The public function that dials an endpoint.

import { addAbortSignal } from "node:stream";
import { CAPABILITIES_FIELD, HALF_CLOSE, hasCapability } from "@piko/tunnel";
import { EndpointSocket } from "./endpoint-socket.js";
import { proxyServer } from "./environment.js";
import { openEndpoint } from "./open-endpoint.js";
import type { DialOptions } from "./options.js";
import { addressesOf } from "./socket-addresses.js";
import { CONNECT_TIMEOUT_MS } from "./upstream-options.js";
import { WebSocketTransport } from "./websocket-transport.js";

/**
 * Opens a connection to a listener on an endpoint. You can write immediately. If the listener can't reach its service, the
 * connection is reset or ends.
 *
 * Rejects with a `ClientError`: PIKO_CLIENT_REFUSED with `status` 502 if the endpoint has no listener, and 401 for an invalid
 * token, PIKO_CLIENT_CONNECT if the server can't be reached, PIKO_CLIENT_TIMEOUT after `connectTimeoutMs`, or
 * PIKO_CLIENT_BAD_OPTION; or with the reason of `signal`, which also destroys an open connection, as with `net.connect`. There
 * is only one attempt; the error's `retryable` says whether another one may succeed.
 */
export async function dial(endpointId: string, options: DialOptions = {}): Promise<EndpointSocket> {
  const { tls, proxyUrl, signal, allowHalfOpen = false } = options;
  const { url, token } = proxyServer(options);
  const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const opened = await openEndpoint({ url, endpointId, token, tls, proxyUrl, signal, timeoutMs });
  const halfClose = hasCapability(opened.headers.get(CAPABILITIES_FIELD), HALF_CLOSE);
  const connection = { endpointId, allowHalfOpen, halfClose, addresses: addressesOf(opened.socket.socket) };
  const socket = new EndpointSocket(connection, (handler) => new WebSocketTransport(opened, handler));
  return signal === undefined ? socket : addAbortSignal(signal, socket);
}
