// Dialling an endpoint, as programs ask for it.

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
 * Opens a connection to whoever listens on an endpoint. Bytes can be written at once; a service behind it that can't be
 * reached shows as a connection that is reset or ends.
 *
 * Rejects with a `ClientError`: PIKO_CLIENT_REFUSED with `status` 502 when nobody listens and 401 for a bad token,
 * PIKO_CLIENT_CONNECT when the server can't be reached, PIKO_CLIENT_TIMEOUT after `connectTimeoutMs`,
 * PIKO_CLIENT_BAD_OPTION. Or with the reason of `signal`, which destroys a connection that is open, too, as it does with
 * `net.connect`. There is one attempt: see `retryable` of the error.
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
