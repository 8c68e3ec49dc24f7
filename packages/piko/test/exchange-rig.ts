// An exchange between a client and upstreams in memory, with a fake clock. The test decides what its life cycle and dispatch do.

import { FakeClock } from "@piko/testkit";
import { Exchange } from "../src/http/exchange/exchange.js";
import type { ExchangeContext } from "../src/http/exchange/exchange-context.js";
import type { Seen } from "../src/http/exchange/upstream-call.js";
import type { HttpError } from "../src/http/errors.js";
import { DeadlineSweep } from "../src/net/deadline-sweep.js";
import { parseRequestHead } from "../src/http/h1/parse-request-head.js";
import { RequestHead } from "../src/http/head.js";
import { REASONS } from "../src/http/reasons.js";
import { ByteBudget } from "../src/net/byte-budget.js";
import { type RecordTarget, RequestRecord } from "../src/observability/request-record.js";
import { MemoryCall } from "./memory-call.js";
import { MemoryClient } from "./memory-client.js";
import { requestHead } from "./memory-heads.js";

export const TIMEOUT_MS = 10_000;
export const NO_MEMORY: HttpError = {
  status: 503,
  code: "PIKO_HTTP_NO_MEMORY",
  message: "server is busy",
  reason: REASONS.limit,
};

/** What the dispatch finds: an upstream, none yet, or none at all. */
type Found = "call" | "wait" | "none";

export interface RigOptions {
  readonly timeoutMs?: number;
  readonly maxReplayBytes?: number;
  readonly maxBytes?: number;
}

export class ExchangeRig {
  readonly clock = new FakeClock();
  readonly budget: ByteBudget;
  readonly client = new MemoryClient();
  readonly exchange: Exchange;
  readonly calls: MemoryCall[] = [];
  /** Finished requests: status and bytes of the response. */
  readonly ended: string[] = [];
  begun = 0;
  readonly refusals: string[] = [];
  readonly failures: string[] = [];
  found: Found = "call";
  /** How often a lost request may move to another upstream. */
  retries = 2;
  /** What the life cycle does with a request. */
  onBegin: (head: RequestHead) => void = (head) => this.exchange.dispatch(head);
  /** Prepares a call before it is used. */
  onCall: (call: MemoryCall) => void = () => {};
  waiting = false;
  cleared = 0;
  readonly seen: Seen[] = [];
  readonly #head = new RequestHead(100);
  readonly #sweep: DeadlineSweep;

  constructor({ timeoutMs = TIMEOUT_MS, maxReplayBytes = 1_000, maxBytes = 100_000 }: RigOptions = {}) {
    this.budget = new ByteBudget(maxBytes);
    const metrics = {
      begin: () => void this.begun++,
      abandon: () => void this.ended.push("abandoned"),
      fail: () => {},
      upstreamLatency: { observe: () => {} },
      end: (status: number, _method: string, _s: number, _in: number, bytes: number) =>
        void this.ended.push(`${status} ${bytes}`),
    };
    const { clock } = this;
    const target = { accessLog: { enabled: false }, metrics, clock } as unknown as RecordTarget;
    const context: ExchangeContext = {
      clock,
      budget: this.budget,
      timeoutMs,
      maxReplayBytes,
      readHead: (buffer, start, end) => {
        parseRequestHead(this.#head, buffer, start, end);
        return this.#head;
      },
      noMemory: NO_MEMORY,
      upstreamsSendReasons: true,
      fieldsOf: ({ status }) => (status === 503 ? "Retry-After: 1\r\n" : ""),
      onRefused: ({ message }) => void this.refusals.push(message),
      onFailed: (why, detail) => void this.failures.push(`${why.code}: ${detail}`),
    };
    this.exchange = new Exchange(this.client, new RequestRecord(target), context, () => ({
      lifecycle: { begin: (head) => this.onBegin(head), abandon: () => {} },
      dispatch: {
        waiting: false,
        connect: (head) => this.#connect(head),
        retry: (seen) => this.#retry(seen),
        continueAfterTimeout: () => false,
        sweep: () => {},
        clear: () => {
          this.waiting = false;
          this.cleared++;
        },
      },
    }));
    // On a node, the sweep calls the client's connection, which calls the exchange.
    this.#sweep = new DeadlineSweep(clock);
    this.#sweep.add(this.exchange);
    this.client.join(this.exchange);
  }

  release(): void {
    this.exchange.release();
    this.#sweep.remove(this.exchange);
  }

  /** The latest call. */
  get call(): MemoryCall {
    const call = this.calls.at(-1);
    if (call === undefined) throw new Error("no call");
    return call;
  }

  /** What the client and the latest call received since the last `take`. */
  take(): { client: string[]; call: string[] } {
    return { client: this.client.take(), call: this.calls.at(-1)?.take() ?? [] };
  }

  get(): this {
    this.client.request(requestHead("GET /x HTTP/1.1\r\nHost: e.test"), true);
    return this;
  }

  post(): this {
    this.client.request(requestHead("POST /x HTTP/1.1\r\nHost: e.test\r\nTransfer-Encoding: chunked"), false);
    return this;
  }

  /** Sends an idempotent request with a body. */
  put(): this {
    this.client.request(requestHead("PUT /x HTTP/1.1\r\nHost: e.test\r\nTransfer-Encoding: chunked"), false);
    return this;
  }

  upgrade(): this {
    const fields = "Connection: upgrade\r\nUpgrade: chat, super-chat";
    this.client.request(requestHead(`GET /x HTTP/1.1\r\nHost: e.test\r\n${fields}`), true);
    return this;
  }

  /** The upstream that a waiting request needs arrives. */
  come(): void {
    this.waiting = false;
    this.found = "call";
    this.exchange.resume();
  }

  /** Violations of the interfaces on both sides, and requests that weren't accounted for. */
  get faults(): string[] {
    const faults = [...this.client.faults, ...this.calls.flatMap((call) => call.faults)];
    const under = this.client.busy ? 1 : 0;
    if (this.begun !== this.ended.length + under) {
      faults.push(`${this.begun} requests begun, ${this.ended.length} ended, ${under} under way`);
    }
    return faults;
  }

  #connect(head: RequestHead | undefined): void {
    if (this.found === "wait") this.waiting = true;
    else if (this.found === "none") this.exchange.reply(REASONS.no_upstream, 502, "no available upstreams");
    else {
      const call = new MemoryCall(this.exchange);
      this.onCall(call);
      this.calls.push(call);
      this.exchange.start(call, head);
    }
  }

  #retry(seen: Seen): boolean {
    this.seen.push(seen);
    if (this.retries === 0) return false;
    this.retries--;
    this.#connect(undefined);
    return true;
  }
}
