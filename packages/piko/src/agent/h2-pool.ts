// HTTP/2 connections to one service: a few connections, each with many requests. A request uses the first connection that
// has room, so that surplus ones become idle and are closed.

import type { ByteSocket, Clock, SocketHandler } from "@piko/tunnel";
import type { UpstreamEvents } from "../http/exchange/upstream-call.js";
import type { ClientLimits, H2Memory } from "../http/h2/connection-events.js";
import { ResponseFields } from "../http/h2/response-fields.js";
import { TrailerFields } from "../http/h2/trailer-fields.js";
import { ResponseHead } from "../http/head.js";
import type { ByteBudget } from "../net/byte-budget.js";
import { deadlineAfter, DeadlineSweep } from "../net/deadline-sweep.js";
import { chosenProtocol, type ServiceConnector } from "./connect-service.js";
import type { H2Call } from "./h2-call.js";
import { type H2ConnectionOwner, H2ServiceConnection } from "./h2-service-connection.js";
import type { ServiceCalls } from "./service-calls.js";

/** Maximum number of field lines in a response head; nodes allow fewer. */
const MAX_FIELDS = 512;
/** The window of a tunnel's stream: more bytes would only be queued. */
const STREAM_WINDOW_BYTES = 262_144;
const HEADER_TABLE_BYTES = 4_096;
/** The same limit as for a client, per 10 seconds. */
const MAX_CONTROL_FRAMES = 10_000;

/** Limits of a pool, and how it connects. */
export interface H2PoolOptions {
  readonly connector: ServiceConnector;
  /** Whether to use TLS. */
  readonly secure: boolean;
  /** Time to connect and until the service confirms that it speaks HTTP/2; 0 for no limit. */
  readonly timeoutMs: number;
  /** Maximum number of concurrent requests per connection. */
  readonly maxConcurrentStreams: number;
  /** Maximum number of idle connections that are kept; Infinity for no limit. */
  readonly maxIdle: number;
  /** How long an idle connection is kept; 0 for no limit. */
  readonly idleTimeoutMs: number;
  /** Minimum time between two pings; 0 for no pings. */
  readonly pingIntervalMs: number;
  /** Maximum size of a response head. */
  readonly maxResponseHeadBytes: number;
  /** Budget for queued bytes, shared by all services of the agent. */
  readonly budget: ByteBudget;
  readonly clock: Clock;
  /** A connection ended before the service confirmed that it speaks HTTP/2. */
  readonly onUnready?: () => void;
}

export class H2ServicePool implements ServiceCalls, H2ConnectionOwner {
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly budget: ByteBudget;
  readonly secure: boolean;
  readonly timeoutMs: number;
  readonly pingIntervalMs: number;
  readonly limits: ClientLimits;
  readonly memory: H2Memory;
  readonly responseFields: ResponseFields;
  readonly trailerFields: TrailerFields;
  readonly responseHead: ResponseHead = new ResponseHead(MAX_FIELDS);
  readonly #connector: ServiceConnector;
  readonly #onUnready: (() => void) | undefined;
  readonly #maxIdle: number;
  readonly #idleTimeoutMs: number;
  /** Connections that accept requests. */
  readonly #connections: H2ServiceConnection[] = [];
  #closed = false;

  /** `sweep`: given if another pool of the listener shares it. */
  constructor(options: H2PoolOptions, sweep: DeadlineSweep = new DeadlineSweep(options.clock)) {
    const { budget, maxConcurrentStreams, maxResponseHeadBytes } = options;
    this.clock = options.clock;
    this.sweep = sweep;
    this.budget = budget;
    this.secure = options.secure;
    this.timeoutMs = options.timeoutMs;
    this.pingIntervalMs = options.pingIntervalMs;
    this.limits = {
      maxConcurrentStreams,
      maxHeaderTableBytes: HEADER_TABLE_BYTES,
      maxHeaderBytes: maxResponseHeadBytes,
      streamWindowBytes: STREAM_WINDOW_BYTES,
      // Room for the windows of all streams: a client that reads nothing only stops its own.
      connectionWindowBytes: Math.min(STREAM_WINDOW_BYTES * maxConcurrentStreams, MAX_WINDOW_BYTES),
      maxControlFrames: MAX_CONTROL_FRAMES,
    };
    this.memory = { blocks: budget, unsent: budget };
    this.responseFields = new ResponseFields(maxResponseHeadBytes);
    this.trailerFields = new TrailerFields(maxResponseHeadBytes);
    this.#connector = options.connector;
    this.#onUnready = options.onUnready;
    this.#maxIdle = options.maxIdle;
    this.#idleTimeoutMs = options.idleTimeoutMs;
  }

  /** Number of connections that accept requests. */
  get connectionCount(): number {
    return this.#connections.length;
  }

  isReady(): boolean {
    return true;
  }

  stopWaiting(): void {}

  take(events: UpstreamEvents): H2Call {
    for (const connection of this.#connections) {
      if (connection.capacity > 0) return connection.take(events);
    }
    return this.#open().take(events);
  }

  retake(events: UpstreamEvents): H2Call {
    return this.take(events);
  }

  /** Takes over an open socket whose peer chose HTTP/2. */
  adopt(socket: ByteSocket): void {
    this.#add((handler) => {
      socket.handler = handler;
      return socket;
    });
  }

  onIdle(connection: H2ServiceConnection): number {
    const idle = this.#connections.filter((other) => other.idle && other !== connection).length;
    if (this.#closed || idle >= this.#maxIdle) return -1;
    return deadlineAfter(this.clock.now(), this.#idleTimeoutMs);
  }

  onLeaving(connection: H2ServiceConnection): void {
    const at = this.#connections.indexOf(connection);
    if (at >= 0) this.#connections.splice(at, 1);
  }

  onUnready(): void {
    this.#onUnready?.();
  }

  close(): void {
    this.#closed = true;
    for (const connection of [...this.#connections]) connection.close();
  }

  #open(): H2ServiceConnection {
    const { clock, timeoutMs } = this;
    const onOpen = (): void => {
      if (this.secure && chosenProtocol(connection.socket) !== "h2") {
        connection.fail("service has not chosen HTTP/2 (ALPN)");
      }
    };
    const connection = this.#add((handler) => this.#connector.open(handler, { clock, timeoutMs, onOpen }));
    return connection;
  }

  #add(open: (handler: SocketHandler) => ByteSocket): H2ServiceConnection {
    const connection = new H2ServiceConnection(this, open);
    this.#connections.push(connection);
    return connection;
  }
}

const MAX_WINDOW_BYTES = 0x7fff_ffff;
