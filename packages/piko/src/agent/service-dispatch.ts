// Sends the requests of an agent's exchange to its service, on an open connection if there is one. Retries a request if
// the service can't have acted on it: it had closed a kept-alive connection before it saw the request, or reports that it
// hasn't processed it. A request that isn't safe to retry isn't sent on a connection that may be closed.

import type { Reason } from "../http/reasons.js";
import { type Dispatch, isIdempotent } from "../http/exchange/dispatch.js";
import type { Exchange } from "../http/exchange/exchange.js";
import type { Lifecycle } from "../http/exchange/lifecycle.js";
import type { Seen } from "../http/exchange/upstream-call.js";
import type { RequestHead } from "../http/head.js";
import type { TracedClient } from "../observability/tracing/request-trace.js";
import type { CallWaiter, ServiceCalls } from "./service-calls.js";

/** Maximum number of times that a request is sent, in case a service keeps refusing streams. */
const MAX_TRIES = 4;

/** The client of all requests, for tracing: a node, whose trace context is trusted. */
const NODE: TracedClient = { client: { secure: false }, senderOf: () => undefined };

/** The life cycle of an agent's requests is short: everything that its node sends goes to the service. */
export class ServiceDispatch implements Dispatch, Lifecycle, CallWaiter {
  readonly #exchange: Exchange;
  readonly #calls: ServiceCalls;
  readonly #maxReplayBytes: number;
  #method: string;
  /** The request asks for another protocol. */
  #upgrade: boolean;
  /** The request's method allows a retry, and all of it will still be available. */
  #repeatable: boolean;
  #tries: number;
  #waiting: boolean;

  /** `maxReplayBytes`: maximum number of bytes of a request that the exchange keeps. */
  constructor(exchange: Exchange, calls: ServiceCalls, maxReplayBytes: number) {
    this.#exchange = exchange;
    this.#calls = calls;
    this.#maxReplayBytes = maxReplayBytes;
    this.#method = "";
    this.#upgrade = false;
    this.#repeatable = false;
    this.#tries = 0;
    this.#waiting = false;
  }

  /** The service's HTTP version isn't known yet. */
  get waiting(): boolean {
    return this.#waiting;
  }

  begin(head: RequestHead): void {
    const { chunked, contentLength, end, method, start, upgrade } = head;
    this.#method = method;
    this.#upgrade = upgrade;
    const kept = contentLength <= 0 || end - start + contentLength <= this.#maxReplayBytes;
    // The length of a chunked body is unknown.
    this.#repeatable = isIdempotent(method) && !chunked && kept;
    this.#tries = 1;
    this.#exchange.record.trace?.begin(head, true, NODE);
    this.#exchange.dispatch(head);
  }

  abandon(): void {}

  connect(head: RequestHead | undefined): void {
    this.#waiting = !this.#calls.isReady(this);
    if (this.#waiting) return;
    this.#exchange.start(this.#calls.take(this.#exchange, this.#repeatable, this.#upgrade), head);
  }

  retry(seen: Seen): boolean {
    // If a new connection failed, the service can't be reached.
    if (seen === "maybe" || !(seen === "no" || isIdempotent(this.#method))) return false;
    if (++this.#tries > MAX_TRIES) return false;
    this.#waiting = !this.#calls.isReady(this);
    if (!this.#waiting) {
      this.#exchange.start(this.#calls.retake(this.#exchange, this.#upgrade), undefined);
    }
    return true;
  }

  continueAfterTimeout(): boolean {
    return false;
  }

  sweep(): void {}

  clear(): void {
    if (this.#waiting) this.#calls.stopWaiting(this);
    this.#waiting = false;
  }

  // Events of the calls.

  onService(): void {
    this.connect(undefined);
  }

  onNoService(why: Reason, detail: string): void {
    this.#waiting = false;
    this.#exchange.onLost(why, "maybe", detail);
  }
}
