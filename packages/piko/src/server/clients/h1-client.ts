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
import { fieldsOf, TLS_HANDSHAKE, TOO_MANY_OF_CLIENT } from "../exchange/proxy-limits.js";
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
 * How long a connection is idle before the end of a node closes it. A client that no response has told of the end uses its
 * connection again at once, as a rule, and would lose that request.
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
  /** The request in progress is gRPC that another node has sent on: that one keeps the limits of its client. */
  #patient: boolean;
  /** The socket is gone. */
  #over: boolean;

  /** Takes over an accepted socket; bytes that were read from it already go to `onBytes`. */
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
    this.#patient = false;
    this.#over = false;
    this.#reader = new RequestReader(context, socket, this);
    this.#response = new H1Response(socket.out, context.dateLine);
    this.#writes = new WriteProgress();
    this.#exchange = createExchange(this, context);
    socket.handler = this;
    context.sweep.add(this);
  }

  // The socket.

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#reader.read(buffer, start, end);
  }

  onEnd(): void {
    if (this.#reader.state === RAW) {
      this.#exchange.onRequestEnd(undefined);
      return;
    }
    // A client that ends while its request is in progress is gone, as it is for nginx and Go: waiting for its answer to
    // fail would make the service work in vain.
    if (this.#reader.state === IN_REQUEST) this.#exchange.onClientGone(REASONS.client_gone);
    if (!this.#over) this.socket.close();
  }

  onDrain(): void {
    this.#exchange.onClientWritable();
    this.#reader.goOn();
  }

  onClose(): void {
    const { state } = this.#reader;
    if (state === IN_REQUEST || state === RAW) this.#exchange.onClientGone(this.#context.gone);
    this.release();
  }

  sweep(nowMs: number): void {
    const reader = this.#reader;
    this.#exchange.sweep(nowMs);
    // What an upgraded connection's silence means, only its protocol knows.
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

  // The port.

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
    // Accounted for now: the process may be gone before the socket says that it is closed.
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

  // The reader.

  onRequestHead(head: RequestHead, last: boolean): void {
    const fromNode = head.upgrade && isForwarded(head) && this.#context.isHop(head, this.client.address);
    this.#response.begin(head, fromNode);
    const { streaming } = this.#response;
    this.#patient = streaming && isForwarded(head) && this.#context.isHop(head, this.client.address);
    if (this.#patient) this.#reader.waitForBody();
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

  /** The head is invalid, so the request goes nowhere: the connection itself responds. */
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

  // The exchange.

  get congested(): boolean {
    return this.socket.out.congested;
  }

  get patient(): boolean {
    return this.#patient;
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

  /** The socket's outbox gathers what a turn brings. */
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
    // Only a body that ends with its connection needs a reset to tell its end from a cut.
    if (this.#reader.state === RAW || this.#response.untilClose) this.socket.reset();
    else this.socket.close();
  }

  #mayKeepAlive(): boolean {
    if (this.#context.closing || this.client.hopsOnly === TOO_MANY_OF_CLIENT) return false;
    return !this.#reader.lastRequest && this.#reader.bodyDone;
  }

  /** The response is out. The connection goes on with the next request, or ends. */
  #endTurn(): void {
    if (this.#over) return;
    const reader = this.#reader;
    if (!this.#response.keepAlive || reader.lastRequest || !reader.bodyDone) {
      this.#linger();
      return;
    }
    reader.next(this.#exchange.record.endMs);
    // The head went out before the node began to stop, and couldn't say that the response is the last.
    if (this.#context.draining) this.stop();
  }

  /** Ends the connection after what is written, once the client has read it: after a 101 without a limit. */
  #linger(): void {
    if (this.#over) return;
    if (this.#reader.state !== RAW) this.#reader.stop();
    this.socket.close();
  }

  /** The client takes nothing of what waits for it. */
  #isStuck(nowMs: number): boolean {
    const limitMs = this.#context.config.http.writeTimeoutMs;
    return limitMs !== 0 && this.#writes.stuckMs(this.socket, nowMs) >= limitMs;
  }
}
