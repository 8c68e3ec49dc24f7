// Opens the connection to a server: TCP or TLS, directly or through an HTTP proxy's CONNECT.

import { isIP } from "node:net";
import { type ConnectionOptions, rootCertificates } from "node:tls";
import { ByteSocket, type SocketHandler } from "@piko/tunnel";
import { parseCertificates } from "./certificates.js";
import { ClientError, errorText, isRetryableStatus } from "./errors.js";
import { ResponseReader } from "./response-reader.js";
import {
  badOption,
  type HostPort,
  hostPortText,
  type ProxyUrl,
  type TlsOptions,
  type TlsSource,
} from "./server-address.js";
import { explainConnectError } from "./wrong-port.js";

/**
 * Interval at which TCP keep-alive checks a silent server; servers check clients in the same way. A tunnel has its own pings; a
 * dialled connection may be silent for hours.
 */
const KEEP_ALIVE_MS = 60_000;

/** A connected socket with `reader` as its handler. */
export interface OpenSocket {
  readonly socket: ByteSocket;
  readonly reader: ResponseReader;
}

/** What to connect to, and through which proxy. */
export interface OpenSocketOptions {
  readonly target: HostPort;
  readonly tls: TlsOptions | undefined;
  readonly proxy: ProxyUrl | undefined;
  /** Called with every socket when it is created, so that the caller can abort. */
  readonly onSocket: (socket: ByteSocket) => void;
}

/** Connects; rejects with a ClientError. */
export async function openSocket(options: OpenSocketOptions): Promise<OpenSocket> {
  const { target, tls, proxy, onSocket } = options;
  if (proxy === undefined) return await connect(target, tls, undefined, onSocket);
  const tunnel = await connect(proxy, proxyTls(tls), undefined, onSocket);
  await requestTunnel(tunnel, target, proxy);
  if (!target.secure) return tunnel;
  return await connect(target, tls, tunnel.socket, onSocket);
}

/** The `tls` options are for the server; a proxy's certificate is verified like any web site's, or with the same authorities. */
function proxyTls(tls: TlsOptions | undefined): TlsOptions | undefined {
  const ca = caList(tls);
  return ca === undefined ? undefined : { ca: [...rootCertificates, ...ca] };
}

function caList(tls: TlsOptions | undefined): (string | Buffer)[] | undefined {
  const ca = tls?.ca;
  if (ca === undefined) return undefined;
  return typeof ca === "string" || Buffer.isBuffer(ca) ? [ca] : [...ca];
}

function connect(
  address: HostPort,
  tls: TlsOptions | undefined,
  over: ByteSocket | undefined,
  onSocket: (socket: ByteSocket) => void,
): Promise<OpenSocket> {
  const { host, port, secure } = address;
  const reader = new ResponseReader();
  return new Promise((resolve, reject) => {
    const onClose = (error: Error | undefined): void => {
      const explained = explainConnectError(address, error);
      // Node's own text begins with the same word.
      const detail = error === undefined ? "connection closed" : errorText(error).replace(/^connect /, "");
      const message = `connect ${hostPortText(address)}: ${explained ?? detail}`;
      // A port that doesn't use TLS won't start to.
      const retryable = explained === undefined || !secure || isRefused(error);
      reject(new ClientError("PIKO_CLIENT_CONNECT", message, { cause: error, retryable }));
    };
    const opening: SocketHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose };
    const onOpen = (): void => {
      socket.handler = reader;
      reader.socket = socket;
      reader.secure = secure;
      resolve({ socket, reader });
    };
    const secured = secure ? tlsConnection(address, tls) : undefined;
    const socket =
      over !== undefined && secured !== undefined
        ? ByteSocket.secure(over, secured, opening, onOpen)
        : ByteSocket.connect(
            {
              host,
              port,
              onOpen,
              keepAliveMs: KEEP_ALIVE_MS,
              ...(secured === undefined ? {} : { tls: secured }),
            },
            opening,
          );
    onSocket(socket);
  });
}

function isRefused(error: Error | undefined): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED";
}

/** The `node:tls` options for a peer. */
export function tlsConnection({ host }: HostPort, tls: TlsOptions | undefined): ConnectionOptions {
  const servername = tls?.servername ?? (isIP(host) === 0 ? host : undefined);
  const ca = caList(tls);
  return {
    host,
    ...(servername === undefined ? {} : { servername }),
    ...(ca === undefined ? {} : { ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls?.rejectUnauthorized ?? true,
    ALPNProtocols: ["http/1.1"],
  };
}

/** Asks a proxy to connect to `target`. */
async function requestTunnel(open: OpenSocket, target: HostPort, proxy: ProxyUrl): Promise<void> {
  const { socket, reader } = open;
  const authority = hostPortText(target);
  const authorization = proxy.authorization;
  socket.out.writeLatin1(
    `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n` +
      `${authorization === undefined ? "" : `Proxy-Authorization: ${authorization}\r\n`}\r\n`,
  );
  socket.out.flush();
  let head = await reader.readHead();
  while (head.status < 200) head = await reader.readHead();
  const where = `proxy ${hostPortText(proxy)}`;
  if (head.status >= 300) {
    const retryable = isRetryableStatus(head.status);
    const message = `${where}: connect ${authority}: ${head.status} ${head.reason}`.trimEnd();
    throw new ClientError("PIKO_CLIENT_PROXY", message, { status: head.status, retryable });
  }
  if (reader.waitingBytes > 0) {
    // These bytes can't be from the server: HTTP and TLS servers wait for the client.
    throw new ClientError("PIKO_CLIENT_PROXY", `${where}: sent bytes after its response`, {
      retryable: true,
    });
  }
}

/** Options whose contents were checked: parsing a list of authorities for each connection would take milliseconds. */
const CHECKED = new WeakSet<TlsOptions>();

/** @throws Error for contents that `node:tls` accepts although no connection would succeed with them. */
export function checkTls(tls: TlsOptions): void {
  if (CHECKED.has(tls)) return;
  const ca = caList(tls);
  if (ca !== undefined) parseCertificates(ca.map((pem) => pem.toString("latin1")).join("\n"));
  for (const name of ["cert", "key"] as const) {
    if (tls[name] !== undefined && tls[name].length === 0) throw new Error(`${name} is empty`);
  }
  CHECKED.add(tls);
}

/**
 * Reads the current TLS settings.
 *
 * @throws ClientError, before anything is opened: not retryable for invalid settings, retryable if the function fails.
 */
export function readTls(source: TlsSource | undefined): TlsOptions | undefined {
  let tls: TlsOptions | undefined;
  // What a function returns next may be right: a file was being written.
  const retryable = typeof source === "function";
  try {
    tls = typeof source === "function" ? source() : source;
    if (tls !== undefined) checkTls(tls);
  } catch (error) {
    const details = { cause: error, retryable };
    throw new ClientError("PIKO_CLIENT_BAD_OPTION", `tls: ${errorText(error)}`, details);
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw badOption("tls.cert and tls.key are needed together");
  }
  return tls;
}
