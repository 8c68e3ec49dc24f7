// The address of the local service that a listener of the agent forwards to.

import { type HostPort, parseTcpAddress } from "./address.js";

/**
 * What a listener carries, and the protocol of its service: HTTP/1.1; HTTP/2 without TLS, by prior knowledge; TLS with whichever
 * HTTP version the service chooses; HTTP/2 for gRPC; plain bytes.
 */
export const LISTENER_PROTOCOLS = ["http", "h2c", "h2", "grpc", "tcp"] as const;

export type ListenerProtocol = (typeof LISTENER_PROTOCOLS)[number];

/** The parts of a service's address. */
export interface ServiceAddress extends HostPort {
  /** The scheme of the service; `tcp` for listeners that carry plain bytes. */
  readonly scheme: "http" | "https" | "tcp";
  /** Path to put before each request's path. Never ends in a slash; empty if the address has none. */
  readonly path: string;
  /** Query, without `?`, to put before each request's query; empty if the address has none. */
  readonly query: string;
  /** The address as it was written. */
  readonly text: string;
}

/**
 * Parses `3000`, `host:port` and, for HTTP listeners, `http://host:port/path` or `https://...`, if that scheme fits the protocol.
 *
 * @throws RangeError that quotes the text.
 */
export function parseServiceAddress(text: string, protocol: ListenerProtocol): ServiceAddress {
  if (protocol !== "tcp" && /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text))
    return parseServiceUrl(text, protocol);
  const address = parseTcpAddress(text);
  if (address.port === 0)
    throw new RangeError(`invalid address ${JSON.stringify(text)}: port 0 can't be connected to`);
  const scheme = protocol === "tcp" ? "tcp" : protocol === "h2" ? "https" : "http";
  return { ...address, scheme, path: "", query: "", text };
}

function parseServiceUrl(text: string, protocol: ListenerProtocol): ServiceAddress {
  const url = parseUrl(text, ["http", "https"]);
  const scheme = url.protocol === "https:" ? "https" : "http";
  if (protocol === "h2c" && scheme === "https")
    throw schemeError(text, "h2c doesn't use TLS: set h2 or grpc");
  if (protocol === "h2" && scheme === "http") throw schemeError(text, "h2 uses TLS: set h2c or grpc");
  return {
    scheme,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port),
    path: url.pathname.replace(/\/+$/, ""),
    query: url.search.replace(/^\?/, ""),
    text,
  };
}

function schemeError(text: string, why: string): RangeError {
  return new RangeError(`invalid address ${JSON.stringify(text)}: protocol ${why}`);
}

/**
 * Parses an absolute URL of one of the given schemes.
 *
 * @throws RangeError; it quotes the text unless the text could hold a password.
 */
export function parseUrl(text: string, schemes: readonly string[]): URL {
  const expected = `must be a URL such as ${schemes[0]}://host:port (schemes: ${schemes.join(", ")})`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new RangeError(
      text.includes("@") ? `invalid url: ${expected}` : `invalid url ${JSON.stringify(text)}: ${expected}`,
    );
  }
  if (!schemes.includes(url.protocol.slice(0, -1)) || url.hostname === "") {
    throw new RangeError(`invalid url: scheme ${JSON.stringify(url.protocol.slice(0, -1))}: ${expected}`);
  }
  return url;
}
