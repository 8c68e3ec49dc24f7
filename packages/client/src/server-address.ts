// Where a server is: checks and parses base URLs, proxy URLs and endpoint ids before anything is opened.

import { isIP } from "node:net";
import { ClientError } from "./errors.js";

/** TLS of connections to the server, with the names that `node:tls` uses. */
export interface TlsOptions {
  /** Certificate authorities (PEM) to verify the server against, instead of the built-in ones. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[];
  /** Client certificate in PEM; needs `key`. */
  readonly cert?: string | Buffer;
  /** Private key of `cert` in PEM. */
  readonly key?: string | Buffer;
  /** False accepts any certificate: anyone in between can then read and change the traffic. Default true. */
  readonly rejectUnauthorized?: boolean;
  /** The name that the certificate must match, if it isn't the URL's host. */
  readonly servername?: string;
}

/** TLS options, or a function that returns the current ones: it is called for each connection, so that files can be renewed. */
export type TlsSource = TlsOptions | (() => TlsOptions);

/** A host and port to connect to. */
export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Whether to use TLS. */
  readonly secure: boolean;
}

/** The parts of a server's base URL. */
export interface BaseUrl extends HostPort {
  /** Value of the `Host` field. */
  readonly authority: string;
  /** Without a trailing slash; may be empty. */
  readonly path: string;
}

/** An HTTP proxy. */
export interface ProxyUrl extends HostPort {
  /** Value of `Proxy-Authorization`, if the URL has a user name. */
  readonly authorization: string | undefined;
}

/** Parses a base URL such as `https://piko.example.com/base`. Throws PIKO_CLIENT_BAD_OPTION. */
export function parseBaseUrl(text: string): BaseUrl {
  const url = parseHttpUrl("url", text);
  if (url.username !== "" || url.password !== "") throw badOption("url must hold no user name or password");
  if (url.search !== "" || url.hash !== "") throw badOption(`url must hold no query or fragment: ${text}`);
  return { ...hostPort(url), authority: url.host, path: url.pathname.replace(/\/+$/, "") };
}

/** Parses a proxy URL such as `http://user:password@proxy:3128`. Throws PIKO_CLIENT_BAD_OPTION. */
export function parseProxyUrl(text: string): ProxyUrl {
  const url = parseHttpUrl("proxy url", text);
  const { username, password } = url;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const basic = `Basic ${Buffer.from(credentials, "utf8").toString("base64")}`;
  return { ...hostPort(url), authorization: username === "" && password === "" ? undefined : basic };
}

/** Encodes an endpoint id as a path segment. Throws PIKO_CLIENT_BAD_OPTION for an id that no server would route. */
export function endpointSegment(endpointId: string): string {
  if (typeof endpointId !== "string" || endpointId === "") throw badOption("endpoint id must not be empty");
  if (/[\s/\p{Cc}]/u.test(endpointId)) {
    throw badOption(
      `endpoint id must hold no slash, space or control character: ${JSON.stringify(endpointId)}`,
    );
  }
  if (endpointId === "." || endpointId === "..") throw badOption(`endpoint id must not be ${endpointId}`);
  return encodeURIComponent(endpointId);
}

/** `host:port`, with brackets around IPv6 addresses. */
export function hostPortText({ host, port }: { host: string; port: number }): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The error for an invalid option. */
export function badOption(message: string): ClientError {
  return new ClientError("PIKO_CLIENT_BAD_OPTION", message);
}

function parseHttpUrl(what: string, text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // The text may contain a password, so the message doesn't quote it.
    throw badOption(`${what} is not an absolute url`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw badOption(`${what} must begin with http:// or https://, not ${url.protocol}//`);
  }
  return url;
}

function hostPort(url: URL): HostPort {
  const secure = url.protocol === "https:";
  const host = url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname;
  return { host, secure, port: url.port === "" ? (secure ? 443 : 80) : Number(url.port) };
}
