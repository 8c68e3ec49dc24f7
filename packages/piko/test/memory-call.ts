// An upstream's call in memory: records the calls that it receives, in order and in words, and counts the bytes that it has
// delivered. A test plays the upstream through the call's own methods. Violations of the interface are recorded as faults.

import type { Reason } from "../src/http/reasons.js";
import type { Trailers } from "../src/http/exchange/client-side.js";
import type { Seen, UpstreamCall, UpstreamEvents } from "../src/http/exchange/upstream-call.js";
import type { RequestHead } from "../src/http/head.js";
import type { RequestRewrite } from "../src/http/request-rewrite.js";
import { responseHead } from "./memory-heads.js";

/**
 * new: not sent yet. open: in progress. done: no more events, but one `abort` or `release` is permitted. over: nothing is permitted.
 */
type State = "new" | "open" | "done" | "over";

export class MemoryCall implements UpstreamCall {
  congested = false;
  connecting = false;
  halfClose = true;
  readonly recorded: string[] = [];
  readonly faults: string[] = [];
  /** Bytes delivered to the exchange: body, raw bytes and interim heads. `consumed` counts those that it has released. */
  delivered = 0;
  /** Bytes of interim heads alone. */
  informed = 0;
  consumed = 0;
  /** All body or raw bytes of the request. */
  body = "";
  head = "";
  state: State = "new";
  readonly #events: UpstreamEvents;

  constructor(events: UpstreamEvents) {
    this.#events = events;
  }

  take(): string[] {
    return this.recorded.splice(0);
  }

  send(head: RequestHead, _rewrite: RequestRewrite, last: boolean): void {
    this.head = head.buffer.toString("latin1", head.start, head.end);
    if (this.state !== "new") this.faults.push("sent twice");
    this.state = "open";
    this.#record(`send ${head.method}${last ? " last" : ""}`);
  }

  write(buffer: Buffer, start: number, end: number): void {
    const text = buffer.toString("latin1", start, end);
    this.#record(`write ${text}`);
    this.body += text;
  }

  end(trailers: Trailers | undefined): void {
    this.#record(trailers === undefined ? "end" : `end ${trailers.toString("latin1").trim()}`);
  }

  consume(count: number): void {
    this.#record(`consume ${count}`);
    this.consumed += count;
    if (count <= 0) this.faults.push(`consume of ${count}`);
    if (this.consumed > this.delivered)
      this.faults.push(`${this.consumed} of ${this.delivered} bytes consumed`);
  }

  abort(why: Reason): void {
    this.#finish(`abort ${why.code}`);
  }

  release(): void {
    this.#finish("release");
  }

  // What the upstream does.

  inform(status: string): void {
    const head = responseHead(`HTTP/1.1 ${status}`);
    this.delivered += head.end - head.start;
    this.informed += head.end - head.start;
    this.#events.onInform(head);
  }

  switch(fields = "Connection: upgrade\r\nUpgrade: chat"): boolean {
    return this.#events.onSwitch(responseHead(`HTTP/1.1 101 Switching Protocols\r\n${fields}`));
  }

  respond(status: string, last: boolean): void {
    if (last) this.state = "done";
    this.#events.onResponse(responseHead(`HTTP/1.1 ${status}\r\nContent-Length: 0`), last);
  }

  deliver(text: string): void {
    const bytes = Buffer.from(`.${text}.`, "latin1");
    this.delivered += text.length;
    this.#events.onResponseBody(bytes, 1, bytes.length - 1);
    bytes.fill(0);
  }

  /** Ends the response or, with `raw`, one raw direction, while the other continues. */
  finish(trailers?: string, raw = false): void {
    if (!raw) this.state = "done";
    this.#events.onResponseEnd(trailers === undefined ? undefined : Buffer.from(`${trailers}\r\n`, "latin1"));
  }

  drain(): void {
    this.congested = false;
    this.#events.onUpstreamWritable();
  }

  lose(why: Reason, seen: Seen): void {
    this.state = "over";
    this.#events.onLost(why, seen, why.message);
  }

  #finish(text: string): void {
    if (this.state === "over" || this.state === "new")
      this.faults.push(`call: ${text} when it is ${this.state}`);
    this.state = "over";
    this.recorded.push(text);
  }

  #record(text: string): void {
    if (this.state !== "open") this.faults.push(`call: ${text} when it is ${this.state}`);
    this.recorded.push(text);
  }
}
