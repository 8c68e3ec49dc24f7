// Brings the requests of an agent's exchange to its one service: on a kept connection if there is one, and once more on a
// new one if the service had closed that before it knew of the request. One that can't be sent again takes no chances.

import { type Dispatch, isIdempotent } from "../http/exchange/dispatch.js";
import type { Exchange } from "../http/exchange/exchange.js";
import type { Lifecycle } from "../http/exchange/lifecycle.js";
import type { Seen } from "../http/exchange/upstream-call.js";
import type { RequestHead } from "../http/head.js";
import type { ServicePool } from "./service-pool.js";

/** An agent's life of a request is short: whatever its node sends goes to the service. */
export class ServiceDispatch implements Dispatch, Lifecycle {
  readonly waiting = false;
  readonly #exchange: Exchange;
  readonly #pool: ServicePool;
  readonly #maxReplayBytes: number;
  #method: string;
  /** Its method allows it, and all of it will be at hand. */
  #repeatable: boolean;

  /** `maxReplayBytes`: most bytes of a request that the exchange keeps. */
  constructor(exchange: Exchange, pool: ServicePool, maxReplayBytes: number) {
    this.#exchange = exchange;
    this.#pool = pool;
    this.#maxReplayBytes = maxReplayBytes;
    this.#method = "";
    this.#repeatable = false;
  }

  begin(head: RequestHead): void {
    const { chunked, contentLength, end, method, start } = head;
    this.#method = method;
    const kept = contentLength <= 0 || end - start + contentLength <= this.#maxReplayBytes;
    // How much comes in chunks nobody knows.
    this.#repeatable = isIdempotent(method) && !chunked && kept;
    this.#exchange.dispatch(head);
  }

  abandon(): void {}

  connect(head: RequestHead | undefined): void {
    this.#exchange.start(this.#pool.take(this.#exchange, this.#repeatable), head);
  }

  again(seen: Seen): boolean {
    // A new connection that failed says that the service can't be reached.
    if (seen === "maybe" || !(seen === "no" || isIdempotent(this.#method))) return false;
    this.#exchange.start(this.#pool.open(this.#exchange), undefined);
    return true;
  }

  outlast(): boolean {
    return false;
  }

  sweep(): void {}

  clear(): void {}
}
