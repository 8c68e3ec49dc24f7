// Explains a failed handshake by a wrong URL: servers have several ports, with TLS or without, and the most common
// mistake is to confuse them.

import { hostPortText, type HostPort } from "./server-address.js";

/** Where servers have their ports by default. */
const DEFAULT_PORTS = { upstream: 8001, proxy: 8000 } as const;

/** Begins the path that tunnels are opened at; everything else is on the proxy port. */
const UPSTREAM_PATH = /\/piko\/v1\/upstream\/[^/]+$/;

/** First bytes of a TLS alert: what a port with TLS says to those who speak without. */
const TLS_ALERT = 0x15;
const TLS_MAJOR_VERSION = 0x03;

/** Codes of OpenSSL for an answer that is no TLS. */
const NO_TLS_CODES: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_HTTP_REQUEST",
  "EPROTO",
]);

/** Why a URL leads to a port of another kind than `path` is for, by what that has answered; undefined if it needn't. */
export function explainRefusal(path: string, status: number, text: string): string | undefined {
  if (/HTTP request to an HTTPS server/i.test(text))
    return "the port requires TLS: the url must begin with https://";
  const wanted = UPSTREAM_PATH.test(path) ? "upstream" : "proxy";
  const usual = `the ${wanted} port is usually ${DEFAULT_PORTS[wanted]}`;
  if (status === 404) return `that isn't ${wanted === "upstream" ? "an" : "a"} ${wanted} port; ${usual}`;
  if (wanted === "proxy") return undefined;
  // Only a proxy port looks for an endpoint in the host, and for an upstream of it.
  const byProxy = /^(missing endpoint id|no available upstreams)$/.test(text);
  return byProxy && (status === 400 || status === 502) ? `that is a proxy port; ${usual}` : undefined;
}

/** Why a server can't be connected to, in words that say what to do; undefined if only the error knows. */
export function explainConnectError(address: HostPort, error: Error | undefined): string | undefined {
  const { code = "" } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "connection refused: is piko server running there?";
  if (address.secure && NO_TLS_CODES.has(code)) {
    return `the port has no TLS: the url must begin with http://${hostPortText(address)}`;
  }
  return undefined;
}

/** Whether a port without TLS has been expected where there is TLS, by its first bytes. */
export function isTlsAlert(answer: Buffer): boolean {
  return answer[0] === TLS_ALERT && answer[1] === TLS_MAJOR_VERSION;
}
