// Forwarding the connections of an endpoint to a TCP service, as programs ask for it.

import { isIP } from "node:net";
import { errorText } from "./errors.js";
import { listen } from "./listen.js";
import type { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";
import { HostRewriter } from "./host-rewriter.js";
import { badOption, hostPortText } from "./server-address.js";
import { ServiceBridge } from "./service-bridge.js";

/** Options of `forward`. */
export interface ForwardOptions extends ListenOptions {
  /** Milliseconds that connecting to the service may take. Default 10,000. */
  readonly dialTimeoutMs?: number | undefined;
  /**
   * For HTTP services: the `Host` that they see, `host` or `host:port`, or `rewrite` for their own address. Default: the
   * client's, and bytes that aren't looked at.
   */
  readonly hostHeader?: string | undefined;
}

/** Longest head of a request in which the host can be changed: what Piko servers let through at most. */
const MAX_HEAD_BYTES = 1024 * 1024;

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
  const hostHeader = parseHostHeader(options.hostHeader, { host, port });
  const timeoutMs = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
  const listener = await listen(endpointId, { ...options, allowHalfOpen: true });
  const onFailed = (error: Error | undefined): void => {
    const fields = { "endpoint-id": endpointId, addr: address, error: errorText(error) };
    options.logger?.warn("failed to connect to service", fields);
  };
  return listener.on("connection", (socket) => {
    const head = hostHeader === undefined ? undefined : new HostRewriter(hostHeader, MAX_HEAD_BYTES);
    void new ServiceBridge(socket, { host, port, timeoutMs, onFailed, head });
  });
}

function parseHostHeader(
  text: string | undefined,
  { host, port }: { host: string; port: number },
): string | undefined {
  if (text === undefined) return undefined;
  if (text === "rewrite")
    return port === 80 ? hostPortText({ host, port }).slice(0, -3) : hostPortText({ host, port });
  if (!/^(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]+)(?::\d{1,5})?$/.test(text)) {
    throw badOption(`hostHeader must be a host, host:port or the word rewrite: ${JSON.stringify(text)}`);
  }
  return text;
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
