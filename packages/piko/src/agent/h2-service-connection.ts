// An HTTP/2 connection to a service, which carries many concurrent requests: its socket, its calls, the check whether the
// service still responds, and how it ends.

import type { ByteSocket, Clock, SocketHandler } from "@piko/tunnel";
import type { UpstreamEvents } from "../http/exchange/upstream-call.js";
import { ClientConnection } from "../http/h2/client-connection.js";
import type { ClientEvents, ClientLimits, H2Limit, H2Memory } from "../http/h2/connection-events.js";
import type { ConnectionError } from "../http/h2/error-codes.js";
import type { ResponseFields } from "../http/h2/response-fields.js";
import type { H2Stream } from "../http/h2/stream.js";
import type { TrailerFields } from "../http/h2/trailer-fields.js";
import type { ResponseHead } from "../http/head.js";
import { deadlineAfter, type DeadlineSweep, type Expiring } from "../net/deadline-sweep.js";
import { type Reason, REASONS } from "../http/reasons.js";
import { connectFailure, connectionFailure } from "./connect-service.js";
import { type CallConnection, H2Call } from "./h2-call.js";

/** Maximum number of unused call objects that a connection keeps. */
const MAX_FREE_CALLS = 16;
/** Silence during requests after which the service is pinged, and its time to answer the ping. */
const SILENCE_MS = 10_000;
const PING_TIMEOUT_MS = 10_000;

/** What the connections of a listener share. */
export interface H2ConnectionOwner {
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly limits: ClientLimits;
  readonly memory: H2Memory;
  /** Filled by each header block, valid until the next one. */
  readonly responseFields: ResponseFields;
  readonly trailerFields: TrailerFields;
  readonly responseHead: ResponseHead;
  /** Whether to use TLS. */
  readonly secure: boolean;
  /** Time until the service must confirm that it speaks HTTP/2; 0 for no limit. */
  readonly timeoutMs: number;
  /** Minimum time between two pings; 0 for no pings. */
  readonly pingIntervalMs: number;
  /** The connection has no requests. Returns until when to keep it, or -1. */
  onIdle(connection: H2ServiceConnection): number;
  /** The connection accepts no more requests. */
  onLeaving(connection: H2ServiceConnection): void;
  /** The connection ended before the service confirmed that it speaks HTTP/2. */
  onUnready(): void;
}

export class H2ServiceConnection implements CallConnection, ClientEvents, SocketHandler, Expiring {
  readonly socket: ByteSocket;
  readonly secure: boolean;
  readonly responseHead: ResponseHead;
  readonly responseFields: ResponseFields;
  readonly trailerFields: TrailerFields;
  reason: Reason;
  failure: string;
  readonly #owner: H2ConnectionOwner;
  readonly #connection: ClientConnection;
  readonly #calls: Set<H2Call>;
  readonly #free: H2Call[];
  /** The call that got the last event of this read: it flushes its collected bytes before another call gets an event. */
  #current: H2Call | undefined;
  /** Until when the service must confirm that it speaks HTTP/2. */
  #readyDeadlineMs: number;
  /** When bytes last arrived; when the next ping is allowed; until when the current ping must be answered. */
  #receivedMs: number;
  #nextPingMs: number;
  #pingDeadlineMs: number;
  /** When the connection is closed if it has no requests. */
  #idleUntilMs: number;
  #over: boolean;

  /** `open`: creates the socket with the given handler, which is this object. */
  constructor(owner: H2ConnectionOwner, open: (handler: SocketHandler) => ByteSocket) {
    const { clock, limits, memory, timeoutMs } = owner;
    const nowMs = clock.now();
    this.secure = owner.secure;
    this.responseHead = owner.responseHead;
    this.responseFields = owner.responseFields;
    this.trailerFields = owner.trailerFields;
    this.reason = REASONS.reset;
    this.failure = "";
    this.#owner = owner;
    this.#calls = new Set();
    this.#free = [];
    this.#current = undefined;
    this.#readyDeadlineMs = deadlineAfter(nowMs, timeoutMs);
    this.#receivedMs = nowMs;
    this.#nextPingMs = owner.pingIntervalMs === 0 ? Number.POSITIVE_INFINITY : nowMs;
    this.#pingDeadlineMs = Number.POSITIVE_INFINITY;
    this.#idleUntilMs = Number.POSITIVE_INFINITY;
    this.#over = false;
    this.socket = open(this);
    this.#connection = new ClientConnection(this.socket.out, limits, memory, clock, this);
    this.#idleUntilMs = owner.onIdle(this);
    owner.sweep.add(this);
  }

  // Called by the pool.

  /** How many more requests the connection accepts now. */
  get capacity(): number {
    return this.#over ? 0 : this.#connection.capacity;
  }

  get idle(): boolean {
    return this.#calls.size === 0;
  }

  /** A call for one request. */
  take(events: UpstreamEvents): H2Call {
    const call = this.#free.pop() ?? new H2Call(this);
    call.assign(events);
    this.#calls.add(call);
    return call;
  }

  /** It isn't possible to talk to the service. */
  fail(failure: string): void {
    this.#lose(REASONS.connect_failed, failure);
  }

  /** Accepts no more requests, and closes when there are none left. */
  close(): void {
    this.#connection.leave();
    if (this.idle) this.#closeNow();
  }

  // Called by the calls.

  get congested(): boolean {
    return this.socket.out.congested;
  }

  get connecting(): boolean {
    return this.socket.opening || !this.#connection.ready;
  }

  open(call: H2Call): H2Stream {
    // Silence without requests doesn't mean anything.
    if (this.#connection.streams.open.size === 0) this.#receivedMs = this.#owner.clock.now();
    return this.#connection.open(call);
  }

  touch(call: H2Call): void {
    const before = this.#current;
    if (before === call) return;
    this.#current = call;
    before?.endTurn();
  }

  onCallOver(call: H2Call): void {
    this.#calls.delete(call);
    if (this.#free.length < MAX_FREE_CALLS) this.#free.push(call);
    if (this.#calls.size > 0 || this.#over) return;
    this.#idleUntilMs = this.#connection.leaving ? -1 : this.#owner.onIdle(this);
  }

  // Events of the socket.

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#receivedMs = this.#owner.clock.now();
    this.#pingDeadlineMs = Number.POSITIVE_INFINITY;
    this.#connection.read(buffer, start, end);
    if (this.#connection.ready) this.#readyDeadlineMs = Number.POSITIVE_INFINITY;
    const last = this.#current;
    this.#current = undefined;
    last?.endTurn();
  }

  onEnd(): void {
    this.#lose(REASONS.lost, "connection closed by the service");
  }

  onDrain(): void {
    this.#connection.onDrain();
  }

  onClose(error: Error | undefined): void {
    const opened = this.#connection.ready;
    this.#lose(opened ? REASONS.reset : connectFailure(error), connectionFailure(error));
  }

  sweep(nowMs: number): void {
    for (const call of this.#calls) call.sweep(nowMs);
    if (this.#over) return;
    if (nowMs >= this.#readyDeadlineMs) {
      const failure = `service didn't begin HTTP/2 in ${this.#owner.timeoutMs} ms`;
      this.#lose(REASONS.connect_timeout, failure);
    } else if (nowMs >= this.#pingDeadlineMs) this.#lose(REASONS.silent, "service doesn't answer a ping");
    else if (this.idle) {
      if (nowMs >= this.#idleUntilMs) this.close();
    } else this.#pingIfSilent(nowMs);
  }

  onFault(): void {
    this.#lose(REASONS.reset, "given up after an internal error");
  }

  // Events of the HTTP/2 connection.

  onHead(stream: H2Stream, last: boolean): void {
    if (stream.handler instanceof H2Call) stream.handler.onHead(this.responseFields, last);
  }

  onGoAway(): void {
    this.#owner.onLeaving(this);
    if (this.idle) this.#closeNow();
  }

  /** The last stream has ended. Its call has already decided whether the connection is kept. */
  onIdle(): void {
    if (this.idle && this.#idleUntilMs < 0) this.#closeNow();
  }

  onLimit(limit: H2Limit): void {
    this.failure = `service exceeded a limit (${limit})`;
  }

  onFailed({ message }: ConnectionError): void {
    const first = this.#connection.ready ? "" : "service doesn't speak HTTP/2: ";
    if (this.failure === "") this.failure = `${first}${message}`;
    this.reason = REASONS.bad_response;
    this.#closeNow();
  }

  #pingIfSilent(nowMs: number): void {
    const silent = nowMs - this.#receivedMs >= SILENCE_MS;
    if (!silent || this.connecting || nowMs < this.#nextPingMs) return;
    this.#nextPingMs = nowMs + this.#owner.pingIntervalMs;
    this.#pingDeadlineMs = nowMs + PING_TIMEOUT_MS;
    this.#connection.ping();
  }

  /** The connection is gone, or must be treated as gone. */
  #lose(reason: Reason, failure: string): void {
    if (this.#over) return;
    this.reason = reason;
    this.failure = failure;
    this.#end();
    this.socket.destroy();
  }

  /** Closes the connection after the queued bytes, which include our GOAWAY. */
  #closeNow(): void {
    this.#connection.leave();
    this.#end();
    this.socket.close();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#owner.sweep.remove(this);
    this.#owner.onLeaving(this);
    if (!this.#connection.ready) this.#owner.onUnready();
    this.#connection.close();
  }
}
