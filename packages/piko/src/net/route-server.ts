// A small HTTP server with fixed paths: the admin port of a node, the metrics port of an agent. Rarely used, and never by
// clients, so node:http is good enough.

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "@piko/tunnel";
import type { HostPort } from "../base/address.js";
import { visibleJson } from "../base/visible-text.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";
import type { ServerTlsConfig } from "../config/server-tls.js";
import type { Distrusts } from "./accept/authorities.js";
import type { Certificates } from "./accept/certificates.js";
import { listen } from "./accept/listen.js";
import { TcpListener } from "./accept/tcp-listener.js";
import { TlsAcceptor, type TlsOwner } from "./accept/tls-acceptor.js";
import { HANDSHAKE_RECORD } from "./accept/tls-on-plain-port.js";
import type { DeadlineSweep } from "./deadline-sweep.js";
import { peerAddress } from "./peer-address.js";
import { OpenFiles } from "./accept/open-files.js";
import { OpenConnections } from "./accept/open-connections.js";
import { LimitCounters } from "./limit-counters.js";

/** Maximum number of connections; a further one replaces the oldest idle one. */
export const MAX_ROUTE_CONNECTIONS = 1_024;
const REQUEST_MS = 10_000;
/** How often Node checks connections for timeouts. */
const CHECK_MS = 1_000;
/**
 * Maximum time without a byte in either direction while a response is in progress. A forwarded request gets 15 s for its
 * response.
 */
const SILENCE_MS = 20_000;
/** How long a connection is kept for another request. */
const IDLE_MS = 5_000;

/** Limits that are counted. */
export type RouteLimit = "max_connections" | "open_files" | "read_header_timeout";

/** Answers a GET or HEAD request. */
export type Route = (response: ServerResponse) => void | Promise<void>;

/** What such a port needs for TLS. */
export interface RouteTls {
  readonly config: ServerTlsConfig;
  readonly certificates: Certificates;
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
}

export interface RouteServerOptions {
  /** For error texts: "admin". */
  readonly name: string;
  readonly logger: Logger;
  readonly limits: LimitCounters<RouteLimit>;
  /** The route of a path; undefined for a path that doesn't exist. */
  readonly find: (path: string) => Route | undefined;
  /** Called before `find`; answers the request itself if it returns true. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Called before everything else; returns false, or resolves to it, if it has answered the request itself. */
  readonly guard?: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;
  /** If given, the port uses TLS. */
  readonly tls?: RouteTls | undefined;
  /** A connection from this address began with a TLS handshake, but the port doesn't use TLS. */
  readonly onTlsHandshake?: (address: string) => void;
  /** Maximum time to receive a whole request, counted from the start of the connection or the end of the last response. */
  readonly requestMs?: number;
}

export class RouteServer implements TlsOwner {
  /** Undefined if the port doesn't use TLS. */
  readonly tls: TlsAcceptor | undefined;
  readonly #options: RouteServerOptions;
  /** Accepts connections instead of the HTTP server if there is TLS. */
  readonly #listener: TcpListener | undefined;
  readonly #server: Server;
  readonly #connections: OpenConnections;
  readonly #files = new OpenFiles();
  /** The response of each connection that is in progress, or not yet passed to the system. */
  readonly #responses = new WeakMap<Socket, ServerResponse>();
  /** Connections that are ended because a request came too early. */
  readonly #refused = new WeakSet<Socket>();

  constructor(options: RouteServerOptions) {
    this.#options = options;
    const { limits, requestMs = REQUEST_MS } = options;
    this.#connections = new OpenConnections(
      MAX_ROUTE_CONNECTIONS,
      (socket) => this.#isBusy(socket),
      (full) => limits.hit(full ? "open_files" : "max_connections"),
    );
    const times = {
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.min(CHECK_MS, requestMs),
      keepAliveTimeout: IDLE_MS,
    };
    this.#server = createServer(times, (request, response) => void this.#answer(request, response));
    this.#server.setTimeout(SILENCE_MS);
    this.#server.on("connection", (socket: Socket) =>
      this.#connections.add(socket, this.#files.isExhausted(socket)),
    );
    const { logger, name: port, tls } = options;
    const acceptor = tls === undefined ? undefined : new TlsAcceptor({ ...tls, port, owner: this, logger });
    this.tls = acceptor;
    this.#listener =
      acceptor === undefined
        ? undefined
        : new TcpListener(port, (socket) => acceptor.accept(socket, peerAddress(socket)));
    this.#server.on("clientError", (error, socket) => this.#refuse(error, socket as Socket));
  }

  /** Binds the port; resolves to the bound address. */
  listen(address: HostPort): Promise<HostPort> {
    if (this.#listener === undefined) return listen(this.#server, this.#options.name, address);
    // This event makes Node enforce the server's timeouts.
    this.#server.emit("listening");
    return this.#listener.listen(address);
  }

  onSecure(socket: TLSSocket): void {
    this.#server.emit("connection", socket);
  }

  onPlain(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  onDistrust(distrusts: Distrusts): void {
    for (const socket of [...this.#connections]) {
      if (!distrusts(socket)) continue;
      const response = this.#responses.get(socket);
      if (response === undefined) socket.destroy();
      else response.once("finish", () => socket.end());
    }
  }

  isTrusted(): boolean {
    return false;
  }

  /** Stops at once, and ends open connections too. */
  close(): void {
    this.#listener?.close();
    this.tls?.close();
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { find, guard, intercept, logger } = this.#options;
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const busy = this.#refused.has(request.socket) || this.#isBusy(request.socket);
    if (!busy) this.#begin(request.socket, response);
    try {
      // Node emits all requests of one read at once. One at a time is enough here.
      if (busy) {
        this.#refuseAhead(request.socket, response);
        return;
      }
      if (guard !== undefined && !(await guard(request, response))) return;
      if (request.method !== "GET" && request.method !== "HEAD") {
        send(response, 405, { Allow: "GET, HEAD" });
      } else if (intercept?.(request, response) !== true) {
        const route = find(path);
        if (route !== undefined) await route(response);
        else notFound(path, find, response);
      }
    } catch (error) {
      logger.error("request failed", { path, error });
      if (response.headersSent) response.destroy();
      else send(response, 500);
    }
  }

  /** Makes this the connection's request in progress, until its response has been sent. */
  #begin(socket: Socket, response: ServerResponse): void {
    this.#responses.set(socket, response);
    // Not as soon as it is written: then a whole pipeline would be answered within one read.
    response.once("finish", () => this.#responses.delete(socket));
  }

  /** Handles a request sent before the previous response. The first gets a 503 after it, others end with the connection. */
  #refuseAhead(socket: Socket, response: ServerResponse): void {
    if (this.#refused.has(socket)) return;
    this.#refused.add(socket);
    send(response, 503, { Connection: "close" });
    // Stop reading. Not at once, because Node resumes the socket after each request of this read.
    queueMicrotask(() => socket.pause());
  }

  /** Whether a request of the connection is in progress. */
  #isBusy(socket: Socket): boolean {
    const response = this.#responses.get(socket);
    return response !== undefined && !response.destroyed;
  }

  /** Handles input that isn't a request, or comes too late. */
  #refuse(error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket: Socket): void {
    if (error.rawPacket?.[0] === HANDSHAKE_RECORD) this.#options.onTlsHandshake?.(peerAddress(socket));
    const late = error.code === "ERR_HTTP_REQUEST_TIMEOUT";
    if (late) this.#options.limits.hit("read_header_timeout");
    // A client that has sent nothing would take a response as one to its next request.
    if (!socket.writable || socket.bytesRead === 0 || this.#isBusy(socket)) {
      socket.destroy();
      return;
    }
    const status = late ? 408 : error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400;
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
    socket.end(head, () => socket.destroy());
  }
}

function notFound(path: string, find: RouteServerOptions["find"], response: ServerResponse): void {
  const trimmed = path.endsWith("/") ? path.slice(0, -1) : "";
  if (find(trimmed) !== undefined) send(response, 301, { Location: trimmed });
  else send(response, 404, { "Content-Type": "text/plain" }, "404 page not found");
}

/** Counters of a port's limits. */
export function createRouteLimits(
  metrics: Metrics,
  metric: string,
  section: string,
  logger: Logger,
  clock: Clock,
): LimitCounters<RouteLimit> {
  return new LimitCounters<RouteLimit>({
    metrics,
    metric,
    help: `Number of connections to the ${section} port ended by a limit`,
    capacities: ["max_connections", "open_files"],
    others: ["read_header_timeout"],
    section,
    logger,
    clock,
  });
}

/** Sends a complete response with its length. */
export function send(
  response: ServerResponse,
  status: number,
  fields: Readonly<Record<string, string>> = {},
  body = "",
): void {
  response.writeHead(status, { ...fields, "Content-Length": Buffer.byteLength(body) }).end(body);
}

/** Sends an error as JSON. */
export function sendError(response: ServerResponse, status: number, error: string): void {
  const body = `${visibleJson(JSON.stringify({ error }))}\n`;
  send(response, status, { "Content-Type": "application/json" }, body);
}

/** Sends a value as JSON. */
export function sendJson(response: ServerResponse, value: unknown): void {
  const json = { "Content-Type": "application/json; charset=utf-8" };
  send(response, 200, json, visibleJson(JSON.stringify(value)));
}
