// The client's half of the WebSocket handshake: connects, requests the upgrade, checks the response, and returns the socket
// with every byte that arrived after the 101. Used for upstream tunnels and dialled endpoints.

import {
  acceptKey,
  type ByteSocket,
  CAPABILITIES_FIELD,
  type Clock,
  HALF_CLOSE,
  hasCapability,
  randomKey,
  systemClock,
  upgradeRequest,
  WebSocketConnection,
  type WebSocketHandler,
} from "@piko/tunnel";
import { ClientError, isRetryableStatus } from "./errors.js";
import { openSocket, readTls } from "./open-socket.js";
import { hasToken, type ResponseHead } from "./response-head.js";
import { MAX_ERROR_BODY_BYTES, type ResponseReader } from "./response-reader.js";
import {
  badOption,
  type BaseUrl,
  hostPortText,
  parseBaseUrl,
  parseProxyUrl,
  type ProxyUrl,
  type TlsOptions,
  type TlsSource,
} from "./server-address.js";
import { allowManyListeners } from "./shared-signal.js";
import { explainRefusal } from "./wrong-port.js";
import { readToken, type Token } from "./token.js";

/** Timeout of a handshake, from the first SYN to the 101. */
export const HANDSHAKE_TIMEOUT_MS = 60_000;

/**
 * How long a surplus connection is kept open. A balancer that chooses the node with the fewest connections would choose the
 * same one for the next try if this connection were closed at once. Longer than two tries take.
 */
const SURPLUS_HOLD_MS = 5_000;
/** Timeout for the text of a refusal, after its status. */
const ERROR_BODY_TIMEOUT_MS = 1_000;

const USER_AGENT = "piko-js/0.1.0";

/** What to open, and how long to try. Names as in the SDK's options. */
export interface OpenWebSocketOptions {
  /** Base URL of the server's port, `http` or `https`; its path is kept, without a trailing slash. */
  readonly url: string;
  /** Appended to the base URL's path; begins with a slash, and is escaped. */
  readonly path: string;
  /** Sent as `Authorization: Bearer`. The time that a function takes to return it counts towards the handshake's timeout. */
  readonly token?: Token | undefined;
  /** Sent as `x-piko-tenant-id`. */
  readonly tenantId?: string | undefined;
  /** Sent as `x-piko-capabilities`. */
  readonly capabilities?: string | undefined;
  /** Sent as `x-piko-instance`: the listener to which the tunnel belongs. */
  readonly instance?: string | undefined;
  /** Sent as `x-piko-instance-repeat`: the tunnel replaces another one of the listener. */
  readonly repeat?: boolean | undefined;
  readonly tls?: TlsSource | undefined;
  /** HTTP proxy to use with CONNECT, `http` or `https`; a user name and password in it are sent to it. */
  readonly proxyUrl?: string | undefined;
  /** Default {@link HANDSHAKE_TIMEOUT_MS}. */
  readonly timeoutMs?: number | undefined;
  /** Aborts the handshake; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * If set, `signal` aborts only until the request was sent. From then on the server may consider the connection open and use it at once.
   * So its response is awaited until this signal cuts the connection, and a connection that the server opened is returned all the same.
   */
  readonly cut?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/** A socket after its handshake. It is paused, so that nothing is lost before it has an owner. */
export interface OpenedWebSocket {
  readonly socket: ByteSocket;
  /** The bytes that arrived after the 101. */
  readonly rest: Buffer;
  /** Header fields of the 101, by lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Opens a WebSocket. Rejects with a {@link ClientError} or the signal's reason. */
export async function openWebSocket(options: OpenWebSocketOptions): Promise<OpenedWebSocket> {
  const { signal, cut, clock = systemClock, timeoutMs = HANDSHAKE_TIMEOUT_MS } = options;
  const base = parseBaseUrl(options.url);
  const proxy = options.proxyUrl === undefined ? undefined : parseProxyUrl(options.proxyUrl);
  const tls = readTls(options.tls);
  const key = randomKey();
  signal?.throwIfAborted();
  allowManyListeners(signal);
  allowManyListeners(cut);

  const sockets: ByteSocket[] = [];
  let given: { reason: unknown } | undefined;
  let stop: (reason: unknown) => void = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = (reason) => {
      given = { reason };
      reject(reason);
    };
  });
  const onSocket = (socket: ByteSocket): void => {
    sockets.push(socket);
    if (given !== undefined) socket.destroy();
  };
  let asked = false;
  const onAsked = (): void => {
    asked = true;
  };
  const onAbort = (): void => {
    if (cut === undefined || cut.aborted || !asked) stop(signal?.reason);
  };
  const onCut = (): void => stop(cut?.reason);
  const timer = clock.setTimeout(() => stop(timedOut(base, timeoutMs)), timeoutMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  cut?.addEventListener("abort", onCut, { once: true });
  try {
    return await Promise.race([handshake(options, base, proxy, tls, key, onSocket, onAsked), stopped]);
  } catch (error) {
    const surplus = error instanceof ClientError && error.nodeId !== undefined;
    if (surplus && signal?.aborted === false) for (const socket of sockets) hold(socket, signal, clock);
    else for (const socket of sockets) socket.destroy();
    throw error;
  } finally {
    clock.clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    cut?.removeEventListener("abort", onCut);
  }
}

/** Keeps a connection open for a while, without reading, if it leads to a node to which the listener already has a tunnel. */
function hold(socket: ByteSocket, signal: AbortSignal, clock: Clock): void {
  socket.pause();
  const end = (): void => {
    clock.clearTimeout(timer);
    signal.removeEventListener("abort", end);
    socket.destroy();
  };
  const timer = clock.setTimeout(end, SURPLUS_HOLD_MS);
  signal.addEventListener("abort", end, { once: true });
}

/**
 * Creates a WebSocket connection on an opened socket, and starts reading. The handler gets the bytes after the 101 once this has returned.
 */
export function startWebSocket(opened: OpenedWebSocket, handler: WebSocketHandler): WebSocketConnection {
  // A Go server ends a connection by closing TCP. Our nodes send a Close frame first; without one, the connection was cut.
  const eofIsEnd = !hasCapability(opened.headers.get(CAPABILITIES_FIELD), HALF_CLOSE);
  const connection = new WebSocketConnection(opened.socket, "client", handler, systemClock, eofIsEnd);
  process.nextTick(() => {
    connection.onBytes(opened.rest, 0, opened.rest.length);
    opened.socket.resume();
  });
  return connection;
}

async function handshake(
  options: OpenWebSocketOptions,
  base: BaseUrl,
  proxy: ProxyUrl | undefined,
  tls: TlsOptions | undefined,
  key: string,
  onSocket: (socket: ByteSocket) => void,
  onAsked: () => void,
): Promise<OpenedWebSocket> {
  const request = requestText(options, await readToken(options.token), base, key);
  const { socket, reader } = await openSocket({ target: base, tls, proxy, onSocket });
  onAsked();
  socket.out.writeLatin1(request);
  socket.out.flush();
  let head = await reader.readHead();
  while (head.status < 200 && head.status !== 101) head = await reader.readHead();
  if (head.status !== 101) throw await refusal(head, reader, options);
  checkUpgrade(head, key);
  return { socket, rest: reader.release(), headers: head.headers };
}

function requestText(options: OpenWebSocketOptions, token: string, base: BaseUrl, key: string): string {
  const headers: [string, string][] = [["User-Agent", USER_AGENT]];
  if (token !== "") headers.push(["Authorization", `Bearer ${token}`]);
  if (options.tenantId) headers.push(["x-piko-tenant-id", options.tenantId]);
  if (options.capabilities) headers.push([CAPABILITIES_FIELD, options.capabilities]);
  if (options.instance) headers.push(["x-piko-instance", options.instance]);
  if (options.repeat) headers.push(["x-piko-instance-repeat", "true"]);
  for (const [name, value] of headers) {
    // The value is left out of the message: it may be the token.
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) throw badOption(`characters not allowed in header ${name}`);
  }
  return upgradeRequest({ host: base.authority, path: base.path + options.path, key, headers });
}

function checkUpgrade({ headers }: ResponseHead, key: string): void {
  const wrong =
    headers.get("upgrade")?.toLowerCase() !== "websocket"
      ? "upgrade is not websocket"
      : !hasToken(headers.get("connection"), "upgrade")
        ? "connection is not upgrade"
        : headers.get("sec-websocket-accept") !== acceptKey(key)
          ? "wrong sec-websocket-accept"
          : headers.has("sec-websocket-extensions") || headers.has("sec-websocket-protocol")
            ? "an extension or subprotocol that was not asked for"
            : undefined;
  if (wrong !== undefined) throw new ClientError("PIKO_CLIENT_BAD_HANDSHAKE", `101: ${wrong}`);
}

/** The error for a response that isn't a 101, with the server's text if it sent any. */
export async function refusal(
  head: ResponseHead,
  reader: ResponseReader,
  { clock = systemClock, path, url }: OpenWebSocketOptions,
): Promise<ClientError> {
  const { status } = head;
  let text = head.reason;
  const type = head.headers.get("content-type")?.toLowerCase() ?? "";
  const json = type.startsWith("application/json");
  // Go reports in plain text that its port uses TLS.
  if (json || (status === 400 && type.startsWith("text/plain"))) {
    let enough: () => void = () => {};
    const late = new Promise<Buffer>((resolve) => {
      enough = () => resolve(Buffer.alloc(0));
    });
    const timer = clock.setTimeout(enough, ERROR_BODY_TIMEOUT_MS);
    const body = await Promise.race([reader.readErrorBody(head), late]);
    clock.clearTimeout(timer);
    text = (json ? errorOf(body) : firstLine(body)) ?? text;
  }
  const why = explainRefusal(path, status, text);
  const message = text === "" ? `${status}` : `${status}: ${text}`;
  return new ClientError("PIKO_CLIENT_REFUSED", why === undefined ? message : `${url}: ${why} (${message})`, {
    status,
    nodeId: status === 409 ? head.headers.get("x-piko-node-id") : undefined,
    // A wrong port won't become the right one.
    retryable: why === undefined && isRetryableStatus(status),
  });
}

function errorOf(body: Buffer): string | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8", 0, MAX_ERROR_BODY_BYTES));
    const error = (parsed as { error?: unknown } | null)?.error;
    return typeof error === "string" && error !== "" ? error : undefined;
  } catch {
    return undefined;
  }
}

/** The first line of a text, if it has only printable characters. */
function firstLine(body: Buffer): string | undefined {
  return /^[\x20-\x7e]{1,200}(?=\r?\n|$)/.exec(body.toString("latin1"))?.[0];
}

function timedOut(base: BaseUrl, timeoutMs: number): ClientError {
  const message = `connect ${hostPortText(base)}: no answer in ${timeoutMs} ms`;
  return new ClientError("PIKO_CLIENT_TIMEOUT", message, { retryable: true });
}
