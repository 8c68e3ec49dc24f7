// Checks whether a port is a proxy port before anything connects through it: sends the request for a connection to an endpoint,
// but without its upgrade, so that no service notices. A Go node connects to the service anyway, and disconnects.

import { systemClock } from "@piko/tunnel";
import type { OpenEndpointOptions } from "./open-endpoint.js";
import { openSocket, readTls } from "./open-socket.js";
import { refusal } from "./open-websocket.js";
import { endpointSegment, parseBaseUrl, parseProxyUrl } from "./server-address.js";
import { allowManyListeners } from "./shared-signal.js";
import { readToken } from "./token.js";

/** The statuses with which proxy ports answer this request if all is well: our nodes' and Go's. */
const ASKS_FOR_UPGRADE: ReadonlySet<number> = new Set([426, 400]);

/**
 * Resolves if the port would accept connections for the endpoint. Otherwise rejects with the ClientError that such a connection
 * would get: no server, wrong port, invalid token, no listener.
 */
export async function probeEndpoint(options: OpenEndpointOptions): Promise<void> {
  const { clock = systemClock, endpointId, signal, timeoutMs = 5_000 } = options;
  const target = parseBaseUrl(options.url);
  const path = `/_piko/v1/tcp/${endpointSegment(endpointId)}`;
  const token = await readToken(options.token);
  let end: () => void = () => {};
  const onSocket = (socket: { destroy(): void }): void => {
    end = () => socket.destroy();
    if (signal?.aborted === true) end();
  };
  const timer = clock.setTimeout(() => end(), timeoutMs);
  const onAbort = (): void => end();
  allowManyListeners(signal);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const proxy = options.proxyUrl === undefined ? undefined : parseProxyUrl(options.proxyUrl);
    const { reader, socket } = await openSocket({ target, tls: readTls(options.tls), proxy, onSocket });
    const authorization = token === "" ? "" : `Authorization: Bearer ${token}\r\n`;
    socket.out.writeLatin1(
      `GET ${target.path}${path} HTTP/1.1\r\nHost: ${target.authority}\r\n${authorization}Connection: close\r\n\r\n`,
    );
    socket.out.flush();
    const head = await reader.readHead();
    if (!ASKS_FOR_UPGRADE.has(head.status)) throw await refusal(head, reader, { ...options, path });
  } finally {
    clock.clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    end();
  }
}
