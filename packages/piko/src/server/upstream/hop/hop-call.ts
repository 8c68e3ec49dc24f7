// One request to another node, as HTTP/1.1 on a pooled connection to its proxy port. An exchange has one such object for all
// its hops.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { REASONS, type Reason } from "../../../http/reasons.js";
import type { Trailers } from "../../../http/exchange/client-side.js";
import type { Seen, UpstreamCall, UpstreamEvents } from "../../../http/exchange/upstream-call.js";
import type { RequestHead, ResponseHead } from "../../../http/head.js";
import { requestHeadCapacity, writeRequestHead } from "../../../http/h1/rewrite-request-head.js";
import {
  type ResponseEvents,
  ResponseReader,
  type ResponseReaderLimits,
} from "../../../http/h1/response-reader.js";
import { writeBody, writeLastChunk } from "../../../http/h1/write-body.js";
import { type MutableRewrite, PLAIN_REQUEST, type RequestRewrite } from "../../../http/request-rewrite.js";
import { announcesHalfClose } from "../../../http/half-close.js";
import { type Rerouted, reroutedBy } from "./forwarded.js";
import type { HopPool } from "./hop-pool.js";

/** Maximum received bytes that the client hasn't read yet, as on a tunnel's stream. */
const WINDOW_BYTES = 256 * 1024;

/** Handles a connection whose call has ended, until it is closed or reused. */
const FINISHED: SocketHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };

export class HopCall implements UpstreamCall, SocketHandler, ResponseEvents {
  /** Whether the agent behind the other node supports half-close, according to the 101. */
  halfClose: boolean;
  /** Whether the node has sent the last request back, and why. */
  rerouted: Rerouted;
  readonly #events: UpstreamEvents;
  readonly #reader: ResponseReader;
  readonly #rewrite: MutableRewrite;
  #pool: HopPool | undefined;
  #mayReroute: boolean;
  #socket: ByteSocket | undefined;
  #connected: boolean;
  /** Whether the connection carried other requests before. */
  #reused: boolean;
  /** The connection's number of flushes before this request. */
  #flushesBefore: number;
  #chunked: boolean;
  /** Bytes of the response that the client hasn't read yet. */
  #unconsumed: number;
  /** Whether `write` found the socket congested, so that `onUpstreamWritable` must follow. */
  #blocked: boolean;
  /** Whether a Go node has closed both directions, so that queued bytes for it are dropped. */
  #closed: boolean;

  constructor(events: UpstreamEvents, limits: ResponseReaderLimits) {
    this.halfClose = false;
    this.rerouted = "no";
    this.#mayReroute = false;
    this.#closed = false;
    this.#events = events;
    this.#reader = new ResponseReader(this, limits);
    this.#rewrite = { ...PLAIN_REQUEST };
    this.#pool = undefined;
    this.#socket = undefined;
    this.#connected = false;
    this.#reused = false;
    this.#flushesBefore = 0;
    this.#chunked = false;
    this.#unconsumed = 0;
    this.#blocked = false;
  }

  /** Prepares the next request, to the node of `pool`. `mayReroute`: the node may send it back to be sent elsewhere. */
  open(pool: HopPool, mayReroute: boolean): void {
    this.#pool = pool;
    this.#mayReroute = mayReroute;
    this.rerouted = "no";
  }

  /** Whether the other node may have the request. */
  get seen(): Seen {
    if (this.#reader.begun) return "answered";
    if (this.#reused) return "stale";
    return this.#connected ? "maybe" : "no";
  }

  /** Whether part of a response has arrived. */
  get begun(): boolean {
    return this.#reader.begun;
  }

  /** Gives up the request because the node is silent and the request can go elsewhere. */
  giveUp(): void {
    const { seen } = this;
    this.#detach()?.destroy();
    this.#events.onLost(REASONS.silent, seen === "stale" ? "maybe" : seen, REASONS.silent.message);
  }

  /** Whether a request with this method would open a connection. Call after `open`. */
  needsConnection(method: string): boolean {
    return !isRepeatable(method) || this.#pool?.idleCount === 0;
  }

  get congested(): boolean {
    return !this.#closed && this.#socket?.out.congested === true;
  }

  /** Always false: connecting to a node has its own timeout. */
  get connecting(): boolean {
    return false;
  }

  send(head: RequestHead, rewrite: RequestRewrite, last: boolean): void {
    const pool = this.#pool as HopPool;
    const kept = isRepeatable(head.method) ? pool.take() : undefined;
    this.#reused = kept !== undefined;
    this.#connected = this.#reused;
    const socket = kept ?? pool.connect(this, () => (this.#connected = true));
    socket.handler = this;
    this.#socket = socket;
    this.#flushesBefore = socket.out.flushes;
    this.#chunked = head.chunked && !last;
    this.#unconsumed = 0;
    this.#blocked = false;
    this.halfClose = false;
    this.#closed = false;
    this.#reader.begin(head.method);
    const own = this.#rewrite;
    Object.assign(own, rewrite);
    own.addForward = true;
    own.addReroute = this.#mayReroute;
    own.hopSecret = pool.hopSecret;
    own.connectionClose = false;
    const { out } = socket;
    const start = out.reserve(requestHeadCapacity(head, own));
    out.advance(writeRequestHead(head, out.slab as Buffer, start, own));
  }

  write(buffer: Buffer, start: number, end: number): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    writeBody(socket.out, this.#chunked, buffer, start, end);
    this.#blocked = socket.out.congested;
  }

  end(trailers: Trailers | undefined): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (this.#chunked) {
      this.#chunked = false;
      writeLastChunk(socket.out, trailers);
    } else if (this.#reader.raw) {
      socket.end();
    }
  }

  consume(count: number): void {
    this.#unconsumed -= count;
    if (this.#unconsumed < WINDOW_BYTES / 2) this.#socket?.resume();
  }

  /** Resets the connection: a FIN would wait behind queued bytes, and after an upgrade it would be a normal end. */
  abort(_why: Reason): void {
    this.#detach()?.reset();
  }

  release(): void {
    const pool = this.#pool;
    const { persistent } = this.#reader;
    const socket = this.#detach();
    if (socket === undefined) return;
    if (persistent && !socket.ended) pool?.put(socket);
    else socket.close();
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (!this.#reader.begun) {
      if (this.#reused && socket.out.flushes === this.#flushesBefore) {
        // The request hasn't been sent yet, so this can't be its response: the node is closing the kept connection.
        this.#lose(REASONS.lost);
        return;
      }
      this.#pool?.onSuccess();
    }
    this.#reader.read(buffer, start, end);
    if (socket === this.#socket) this.#events.onUpstreamTurn();
  }

  onEnd(): void {
    this.#closed = !this.halfClose && this.#reader.raw;
    if (this.#socket === undefined || this.#reader.finish()) return;
    this.#lose(this.#reader.awaitingHead ? REASONS.lost : REASONS.cut);
  }

  onDrain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#events.onUpstreamWritable();
  }

  onClose(error: Error | undefined): void {
    if (this.#socket === undefined) return;
    const before = this.#connected ? REASONS.reset : REASONS.node_unreachable;
    this.#lose(this.#reader.awaitingHead ? before : REASONS.cut, isLocalShortage(error));
  }

  onInform(head: ResponseHead): void {
    this.#hold(head.end - head.start);
    this.#events.onInform(head);
  }

  onSwitch(head: ResponseHead): boolean {
    this.halfClose = announcesHalfClose(head);
    return this.#events.onSwitch(head);
  }

  onResponse(head: ResponseHead, last: boolean): void {
    this.rerouted = reroutedBy(head);
    if (this.rerouted === "no") {
      this.#events.onResponse(head, last);
      return;
    }
    // No service has seen the request there; the endpoint may be on another node by now.
    this.#detach()?.destroy();
    this.#events.onLost(REASONS.rerouted, "no", REASONS.rerouted.message);
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    this.#hold(end - start);
    this.#events.onResponseBody(buffer, start, end);
  }

  onResponseEnd(trailers: Trailers | undefined): void {
    this.#events.onResponseEnd(trailers);
  }

  onBadResponse(why: Reason, detail: string): void {
    this.#detach()?.destroy();
    this.#events.onLost(why, "answered", detail);
  }

  #hold(count: number): void {
    this.#unconsumed += count;
    if (this.#unconsumed > WINDOW_BYTES) this.#socket?.pause();
  }

  /** `localShortage`: the other node isn't to blame. */
  #lose(why: Reason, localShortage = false): void {
    const pool = this.#pool;
    const { seen } = this;
    this.#detach()?.destroy();
    if (seen === "stale") pool?.onStale();
    else if (seen !== "answered" && !localShortage) pool?.onFailure();
    this.#events.onLost(why, seen, why.message);
  }

  #detach(): ByteSocket | undefined {
    const socket = this.#socket;
    if (socket === undefined) return undefined;
    this.#socket = undefined;
    this.#pool = undefined;
    this.#reader.stop();
    socket.handler = FINISHED;
    return socket;
  }
}

/** Whether this system has no file descriptor or port left for a connection. */
function isLocalShortage(error: Error | undefined): boolean {
  switch ((error as NodeJS.ErrnoException | undefined)?.code) {
    case "EMFILE":
    case "ENFILE":
    case "EADDRNOTAVAIL":
      return true;
    default:
      return false;
  }
}

/**
 * Methods that may use a kept connection, because they are retried if the node has closed it meanwhile (RFC 9112 section
 * 9.3.1). PUT would be safe to retry too, but its body may be too long to be buffered.
 */
function isRepeatable(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "DELETE":
    case "OPTIONS":
    case "TRACE":
      return true;
    default:
      return false;
  }
}
