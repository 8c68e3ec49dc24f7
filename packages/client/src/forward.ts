// Forwarding the connections of an endpoint to a TCP service, as programs ask for it.

import { isIP } from "node:net";
import { errorText } from "./errors.js";
import { listen } from "./listen.js";
import type { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";
import { badOption } from "./server-address.js";
import { ServiceBridge } from "./service-bridge.js";

/** Options of `forward`. */
export interface ForwardOptions extends ListenOptions {
  /** Milliseconds that connecting to the service may take. Default 10,000. */
  readonly dialTimeoutMs?: number | undefined;
}

/** Milliseconds that connecting to the service may take, by default. */
const DIAL_TIMEOUT_MS = 10_000;

/**
 * Brings every connection to an endpoint to a TCP service, byte for byte. `address` is a port of this machine, or
 * `host:port`. A service that can't be reached resets the connection and is logged as a warning. Rejects as `listen` does.
 */
export async function forward(
  endpointId: string,
  address: number | string,
  options: ForwardOptions = {},
): Promise<Listener> {
  const { host, port } = parseAddress(address);
  const timeoutMs = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
  const listener = await listen(endpointId, { ...options, allowHalfOpen: true });
  const onFailed = (error: Error | undefined): void => {
    const fields = { "endpoint-id": endpointId, addr: address, error: errorText(error) };
    options.logger?.warn("failed to connect to service", fields);
  };
  return listener.on("connection", (socket) => {
    void new ServiceBridge(socket, { host, port, timeoutMs, onFailed });
  });
}

function parseAddress(address: number | string): { host: string; port: number } {
  const text = String(address);
  const parts = /^(?:(?:\[([^\]]+)\]|([^:[\]/\s]+)):)?(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2] ?? "localhost";
  const port = Number(parts?.[3]);
  const badHost = parts?.[1] !== undefined && isIP(parts[1]) !== 6;
  if (parts === null || badHost || port === 0 || port > 65_535) {
    throw badOption(`address must be a port or host:port: ${text}`);
  }
  return { host, port };
}
