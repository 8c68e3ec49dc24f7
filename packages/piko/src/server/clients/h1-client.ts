// One HTTP/1.1 connection of a client: passes each request from its reader to the exchange, writes the response, and
// decides whether the connection stays open.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import type { HttpError } from "../../http/errors.js";
import { REASONS, type Reason } from "../../http/reasons.js";
import type { LocalReply, Trailers } from "../../http/exchange/client-side.js";
import type { Exchange } from "../../http/exchange/exchange.js";
import type { RequestHead, ResponseHead } from "../../http/head.js";
import type { Expiring } from "../../net/deadline-sweep.js";
import { WriteProgress } from "../../net/write-progress.js";
import { isForwarded } from "../upstream/hop/forwarded.js";
import { createExchange } from "../exchange/create-exchange.js";
import type { NodeClient, RawConnection } from "../exchange/node-client.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import { fieldsOf, TLS_HANDSHAKE, TOO_MANY_FROM_CLIENT } from "../exchange/proxy-limits.js";
import { type Client, type ClientConnection, senderOf } from "./client.js";
import { H1Response } from "./h1-response.js";
import {
  HANDED_OVER,
  IN_REQUEST,
  RAW,
  READING_HEAD,
  RequestReader,
  type RequestReaderEvents,
} from "./request-reader.js";

/**
 * How long a connection must be idle before a stopping node closes it. A client whose last response didn't have
 * `Connection: close` often sends another request at once, which would be lost.
 */
export const STOP_IDLE_MS = 1_000;

export class H1Client
  implements NodeClient, RawConnection, ClientConnection, SocketHandler, RequestReaderEvents, Expiring
{
  readonly socket: ByteSocket;
  readonly client: Client;
  readonly raw: RawConnection;
  readonly #context: ProxyContext;
  readonly #exchange: Exchange;
  readonly #reader: RequestReader;
  readonly #response: H1Response;
  readonly #writes: WriteProgress;
  readonly #onGone: (connection: ClientConnection) => void;
  /** Whether the request in progress is gRPC from another node, which enforces the client's limits itself. */
  #waitsIndefinitely: boolean;
  /** Whether the socket is closed. */
  #over: boolean;

  /** Takes over an accepted socket; the caller passes bytes that were already read to `onBytes`. */
  constructor(
    context: ProxyContext,
    socket: ByteSocket,
    client: Client,
    onGone: (connection: ClientConnection) => void,
  ) {
    this.#context = context;
    this.socket = socket;
    this.client = client;
    this.raw = this;
    this.#onGone = onGone;
    this.#waitsIndefinitely = false;
    this.#over = false;
    this.#reader = new RequestReader(context, socket, this);
    this.#response = new H1Response(socket.out, context.dateLine);
    this.#writes = new WriteProgress();
    this.#exchange = createExchange(this, context);
    socket.handler = this;
    context.sweep.add(this);
  }

  // Callbacks of the socket.

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#reader.read(buffer, start, end);
  }

  onEnd(): void {
    if (this.#reader.state === RAW) {
      this.#exchange.onRequestEnd(undefined);
      return;
    }
    // As in nginx and Go, a client that ends while its request is in progress is treated as gone: the service would only work
    // in vain until writing the response fails.
    if (this.#reader.state === IN_REQUEST) this.#exchange.onClientGone(REASONS.client_gone);
    if (!this.#over) this.socket.close();
  }

  onDrain(): void {
    this.#exchange.onClientWritable();
    this.#reader.beginNext();
  }

  onClose(): void {
    const { state } = this.#reader;
    if (state === IN_REQUEST || state === RAW) this.#exchange.onClientGone(this.#context.gone);
    this.release();
  }

  sweep(nowMs: number): void {
    const reader = this.#reader;
    this.#exchange.sweep(nowMs);
    // Only the protocol of an upgraded connection knows what its silence means.
    if (reader.state !== RAW && this.#isStuck(nowMs)) {
      if (reader.state === IN_REQUEST) this.#exchange.onClientGone(REASONS.client_stuck);
      this.#context.limits.hit("write_timeout");
      this.socket.reset();
      return;
    }
    reader.sweep(nowMs);
  }

  onFault(): void {
    this.socket.reset();
  }

  // Calls of the port.

  stop(): void {
    const reader = this.#reader;
    if (!reader.idle) return;
    reader.endIdle(STOP_IDLE_MS);
    if (this.#context.clock.now() >= reader.deadlineMs) this.socket.close();
  }

  retire(): void {
    const reader = this.#reader;
    if (reader.state === IN_REQUEST) reader.lastRequest = true;
    else if (reader.state === READING_HEAD) this.socket.close();
  }

  cut(): void {
    const { state } = this.#reader;
    // Recorded now: the process may have ended before the socket reports its close.
    if (state === IN_REQUEST || state === RAW) this.#exchange.onClientGone(this.#context.gone);
    this.socket.reset();
  }

  /** Leaves the socket to a handler that replaces this one; `release` follows when it is closed. */
  handOver(): ByteSocket {
    this.#reader.state = HANDED_OVER;
    this.#context.sweep.remove(this);
    return this.socket;
  }

  passAhead(): void {
    this.#reader.passAhead();
  }

  /** The socket is closed. Idempotent. */
  release(): void {
    if (this.#over) return;
    this.#over = true;
    this.#reader.stop();
    this.#exchange.release();
    this.#context.sweep.remove(this);
    this.#onGone(this);
  }

  // Events of the reader.

  onRequestHead(head: RequestHead, last: boolean): void {
    const fromNode = head.upgrade && isForwarded(head) && this.#context.isHop(head, this.client.address);
    this.#response.begin(head, fromNode);
    const { streaming } = this.#response;
    this.#waitsIndefinitely =
      streaming && isForwarded(head) && this.#context.isHop(head, this.client.address);
    if (this.#waitsIndefinitely) this.#reader.waitForBody();
    this.#exchange.onRequest(head, last);
  }

  onRequestBody(buffer: Buffer, start: number, end: number): void {
    this.#exchange.onRequestBody(buffer, start, end);
  }

  onRequestEnd(trailers: Trailers | undefined): void {
    this.#exchange.onRequestEnd(trailers);
  }

  onBadBody(error: HttpError): void {
    this.#exchange.onRequestRefused(error);
  }

  /** Answers an invalid head, which isn't passed to the exchange. */
  onBadHead(error: HttpError): void {
    if (error === TLS_HANDSHAKE) this.#context.tlsOnPlainPort.note(this.client.address);
    const { message, reason } = error;
    this.#context.logger.debug("request refused", {
      "client-ip": this.client.address,
      error: message,
      reason: reason.code,
    });
    this.#context.onRefused(error);
    this.#context.metrics.fail(reason);
    this.#response.refuse(error, fieldsOf(error));
    this.#linger();
  }

  // Calls of the exchange.

  get congested(): boolean {
    return this.socket.out.congested;
  }

  get waitsIndefinitely(): boolean {
    return this.#waitsIndefinitely;
  }

  senderOf(head: RequestHead): string {
    return senderOf(head, this.client, this.#context);
  }

  inform(head: ResponseHead): void {
    this.#response.inform(head);
  }

  respond(head: ResponseHead, _last: boolean): void {
    this.#response.respond(head, this.#mayKeepAlive());
  }

  switchTo(head: ResponseHead, halfClose: boolean): void {
    this.#response.switch(head, halfClose);
    this.#reader.switchToRaw();
  }

  write(buffer: Buffer, start: number, end: number): void {
    if (this.#reader.state === RAW) this.socket.out.write(buffer, start, end);
    else this.#response.write(buffer, start, end);
  }

  /** Nothing to do: the socket's outbox sends the bytes of a turn together. */
  flush(): void {}

  end(trailers: Trailers | undefined): void {
    if (this.#reader.state === RAW) {
      this.socket.end();
      return;
    }
    this.#response.end(trailers);
    this.#endTurn();
  }

  close(): void {
    this.#linger();
  }

  reply(reply: LocalReply): number {
    return this.#response.reply(reply, this.#mayKeepAlive());
  }

  consume(count: number): void {
    this.#reader.consume(count);
  }

  abort(_why: Reason): void {
    // Only raw bytes and a body that ends with its connection need a reset, so that a cut differs from an end.
    if (this.#reader.state === RAW || this.#response.untilClose) this.socket.reset();
    else this.socket.close();
  }

  #mayKeepAlive(): boolean {
    if (this.#context.closing || this.client.hopsOnly === TOO_MANY_FROM_CLIENT) return false;
    return !this.#reader.lastRequest && this.#reader.bodyDone;
  }

  /** The response has been written. The connection continues with the next request, or ends. */
  #endTurn(): void {
    if (this.#over) return;
    const reader = this.#reader;
    if (!this.#response.keepAlive || reader.lastRequest || !reader.bodyDone) {
      this.#linger();
      return;
    }
    reader.next(this.#exchange.record.endMs);
    // The head was sent before the node began to stop, so it didn't have `Connection: close`.
    if (this.#context.draining) this.stop();
  }

  /** Ends the connection once the client has read all that was written; after a 101, however long that takes. */
  #linger(): void {
    if (this.#over) return;
    if (this.#reader.state !== RAW) this.#reader.stop();
    this.socket.close();
  }

  /** Whether the client has read nothing of the queued bytes for `write_timeout`. */
  #isStuck(nowMs: number): boolean {
    const limitMs = this.#context.config.http.writeTimeoutMs;
    return limitMs !== 0 && this.#writes.stuckMs(this.socket, nowMs) >= limitMs;
  }
}
