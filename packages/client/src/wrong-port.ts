// Explains a failed handshake by a wrong URL: servers have several ports, with TLS or without, and the most common mistake is
// to confuse them.

import { hostPortText, type HostPort } from "./server-address.js";

/** Default ports of servers. */
const DEFAULT_PORTS = { upstream: 8001, proxy: 8000 } as const;

/** The path at which tunnels are opened; all other paths are on the proxy port. */
const UPSTREAM_PATH = /\/piko\/v1\/upstream\/[^/]+$/;

/** First bytes of a TLS alert, which a TLS port sends to clients that don't use TLS. */
const TLS_ALERT = 0x15;
const TLS_MAJOR_VERSION = 0x03;

/** OpenSSL's codes for a response that isn't TLS. */
const NO_TLS_CODES: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_HTTP_REQUEST",
  "EPROTO",
]);

/** Explains why a URL leads to another kind of port than `path` is for, judging by its response; undefined if it doesn't seem to. */
export function explainRefusal(path: string, status: number, text: string): string | undefined {
  if (/HTTP request to an HTTPS server/i.test(text))
    return "the port requires TLS: the url must begin with https://";
  const wanted = UPSTREAM_PATH.test(path) ? "upstream" : "proxy";
  const usual = `the ${wanted} port is usually ${DEFAULT_PORTS[wanted]}`;
  if (status === 404) return `that isn't ${wanted === "upstream" ? "an" : "a"} ${wanted} port; ${usual}`;
  if (wanted === "proxy") return undefined;
  // Only a proxy port takes an endpoint from the host, and looks for its upstream.
  const byProxy = /^(missing endpoint id|no available upstreams)$/.test(text);
  return byProxy && (status === 400 || status === 502) ? `that is a proxy port; ${usual}` : undefined;
}

/** Explains why a server can't be connected to, and what to do; undefined if there is no more to say than the error does. */
export function explainConnectError(address: HostPort, error: Error | undefined): string | undefined {
  const { code = "" } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "connection refused: is piko server running there?";
  if (address.secure && NO_TLS_CODES.has(code)) {
    return `the port has no TLS: the url must begin with http://${hostPortText(address)}`;
  }
  return undefined;
}

/** Whether the first bytes of a response show that the port uses TLS although the client didn't. */
export function isTlsAlert(answer: Buffer): boolean {
  return answer[0] === TLS_ALERT && answer[1] === TLS_MAJOR_VERSION;
}
