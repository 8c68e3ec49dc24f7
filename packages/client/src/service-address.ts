// The services that `forward` connects to: parses their addresses before anything is opened.

import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { errorText } from "./errors.js";
import { checkTls, tlsConnection } from "./open-socket.js";
import { badOption, hostPortText, type TlsOptions } from "./server-address.js";

/** Where a service is. */
export interface ServiceAddress {
  /** Without brackets; a path for a Unix domain socket. */
  readonly host: string;
  /** 0 for a Unix domain socket. */
  readonly port: number;
  readonly tls: ConnectionOptions | undefined;
  /** The service's own address, for a `Host` field. */
  readonly authority: string;
}

/** Interval at which TCP keep-alive checks a silent service, in milliseconds. */
export const SERVICE_KEEP_ALIVE_MS = 30_000;

/** Ports that may be omitted in a URL. */
const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };
const SECURE: ReadonlySet<string> = new Set(["https:", "tls:"]);

/** Maximum path of a Unix domain socket: the size of `sun_path` on Linux, without the terminating zero. */
const MAX_PATH_BYTES = 107;

/** Parses an address as {@link forward} accepts it. Throws PIKO_CLIENT_BAD_OPTION. */
export function parseServiceAddress(address: number | string, tls: TlsOptions | undefined): ServiceAddress {
  const text = String(address);
  const service = parseUnix(text) ?? parseUrl(text, tls) ?? parseHostPort(text);
  if (service === undefined) {
    const forms = "a port, host:port, unix:/path or an http, https, tcp or tls url without a path";
    throw badOption(`address must be ${forms}: ${text}`);
  }
  if (tls !== undefined && service.tls === undefined) {
    throw badOption(`serviceTls is for https:// and tls://, not for ${text}`);
  }
  try {
    if (tls !== undefined) checkTls(tls);
  } catch (error) {
    throw badOption(`serviceTls: ${errorText(error)}`);
  }
  return service;
}

/** The `Host` that the service gets; undefined for the client's. Throws PIKO_CLIENT_BAD_OPTION. */
export function hostHeaderOf(text: string | undefined, { authority }: ServiceAddress): string | undefined {
  if (text === undefined) return undefined;
  if (text === "rewrite") return authority;
  if (!/^(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]+)(?::\d{1,5})?$/.test(text)) {
    throw badOption(`hostHeader must be a host, host:port or the word rewrite: ${JSON.stringify(text)}`);
  }
  return text;
}

function parseUnix(text: string): ServiceAddress | undefined {
  const path = /^unix:(?:\/\/)?(\/[^\0]+)$/.exec(text)?.[1];
  if (path === undefined) return undefined;
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw badOption(`the path of a unix domain socket has at most ${MAX_PATH_BYTES} bytes: ${text}`);
  }
  return { host: path, port: 0, tls: undefined, authority: "localhost" };
}

function parseUrl(text: string, tls: TlsOptions | undefined): ServiceAddress | undefined {
  const [, scheme = "", rest = ""] = /^(https?:|tcp:|tls:)\/\/([^/]+)\/?$/i.exec(text) ?? [];
  const protocol = scheme.toLowerCase();
  const fallback = DEFAULT_PORTS[protocol];
  const withPort = /:\d+$/.test(rest) || fallback === undefined ? rest : `${rest}:${fallback}`;
  const plain = parseHostPort(withPort);
  if (plain === undefined || !withPort.includes(":")) return undefined;
  const { host, port } = plain;
  const secure = SECURE.has(protocol);
  const authority = port === fallback ? hostPortText(plain).replace(/:\d+$/, "") : hostPortText(plain);
  return { host, port, authority, tls: secure ? tlsConnection({ host, port, secure }, tls) : undefined };
}

function parseHostPort(text: string): ServiceAddress | undefined {
  const parts = /^(?:(?:\[([^\]]+)\]|([^:[\]/\s@]+)):)?(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2] ?? "localhost";
  const port = Number(parts?.[3]);
  const badHost = parts?.[1] !== undefined && isIP(parts[1]) !== 6;
  if (parts === null || badHost || port === 0 || port > 65_535) return undefined;
  const full = hostPortText({ host, port });
  return { host, port, tls: undefined, authority: port === 80 ? full.slice(0, -3) : full };
}
