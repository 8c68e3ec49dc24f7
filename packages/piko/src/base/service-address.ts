// The address of the local service that a listener of the agent forwards to.

import { type HostPort, parseTcpAddress } from "./address.js";

/**
 * What a listener carries, and how its service is spoken to: HTTP/1.1; HTTP/2 without TLS, by prior knowledge; with TLS,
 * whichever HTTP the service chooses; HTTP/2 for gRPC; plain bytes.
 */
export const LISTENER_PROTOCOLS = ["http", "h2c", "h2", "grpc", "tcp"] as const;

export type ListenerProtocol = (typeof LISTENER_PROTOCOLS)[number];

/** Where a service listens, taken apart. */
export interface ServiceAddress extends HostPort {
  /** How the service is spoken to; `tcp` for listeners that carry plain bytes. */
  readonly scheme: "http" | "https" | "tcp";
  /** Path that goes in front of each request's path; never ends in a slash, and empty when the address has none. */
  readonly path: string;
  /** Query without `?` that goes in front of each request's query; empty when the address has none. */
  readonly query: string;
  /** The address as it was written. */
  readonly text: string;
}

/**
 * Parses `3000`, `host:port` and, for HTTP listeners, `http://host:port/path` or `https://...`, as far as the protocol has
 * TLS or can do without.
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
  if (protocol === "h2c" && scheme === "https") throw schemeError(text, "h2c is without TLS: set h2 or grpc");
  if (protocol === "h2" && scheme === "http") throw schemeError(text, "h2 is with TLS: set h2c or grpc");
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
