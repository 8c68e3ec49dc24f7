// A client's side of an exchange in memory: records the calls that it receives, in order and in words, and counts the bytes
// that it has delivered. Violations of the interface are recorded as faults.

import type { ClientEvents, ClientSide, LocalReply, Trailers } from "../src/http/exchange/client-side.js";
import type { Reason } from "../src/http/reasons.js";
import type { RequestHead, ResponseHead } from "../src/http/head.js";

export class MemoryClient implements ClientSide {
  congested = false;
  waitsIndefinitely = false;
  /** The calls that it received, in order. */
  readonly recorded: string[] = [];
  readonly faults: string[] = [];
  /** Bytes of the current request delivered to the exchange. `consumed` counts those that it has released. */
  handed = 0;
  consumed = 0;
  /** All body or raw bytes of the response. */
  body = "";
  /** Called by `end`, `close` and `abort`, where a connection begins its next request. */
  onOver: () => void = () => {};
  /** Called by each `write`. */
  onWrite: () => void = () => {};
  #events: ClientEvents | undefined;
  #busy = false;
  #raw = false;
  #ended = false;

  /** Connects the client to its exchange. */
  join(events: ClientEvents): void {
    this.#events = events;
  }

  /** Whether a request is in progress. */
  get busy(): boolean {
    return this.#busy;
  }

  request(head: RequestHead, last: boolean): void {
    this.#busy = true;
    this.#raw = false;
    this.#ended = false;
    this.handed = 0;
    this.consumed = 0;
    this.#exchangeEvents.onRequest(head, last);
  }

  send(text: string): void {
    const bytes = Buffer.from(`.${text}.`, "latin1");
    this.handed += text.length;
    this.#exchangeEvents.onRequestBody(bytes, 1, bytes.length - 1);
    bytes.fill(0);
  }

  /** The calls that it received since the last `take`. */
  take(): string[] {
    return this.recorded.splice(0);
  }

  senderOf(): string {
    return "192.0.2.1";
  }

  inform(head: ResponseHead): void {
    this.#record(`inform ${head.status}`);
  }

  respond(head: ResponseHead, last: boolean): void {
    this.#record(`respond ${head.status}${last ? " last" : ""}`);
  }

  switchTo(head: ResponseHead): void {
    this.#record(`switch ${head.status}`);
    this.#raw = true;
  }

  write(buffer: Buffer, start: number, end: number): void {
    const text = buffer.toString("latin1", start, end);
    this.#record(`write ${text}`);
    if (this.#ended) this.faults.push("write behind the end");
    this.body += text;
    this.onWrite();
  }

  flush(): void {
    this.#record("flush");
  }

  end(trailers: Trailers | undefined): void {
    this.#record(trailers === undefined ? "end" : `end ${trailers.toString("latin1").trim()}`);
    if (this.#ended) this.faults.push("end behind the end");
    this.#ended = true;
    if (!this.#raw) this.#over();
  }

  close(): void {
    this.#record("close");
    this.#over();
  }

  reply({ status, message, fields }: LocalReply): number {
    this.#record(`reply ${status} ${message ?? ""}${fields === "" ? "" : ` ${fields.trim()}`}`.trim());
    return message?.length ?? 0;
  }

  consume(count: number): void {
    this.#record(`consume ${count}`);
    this.consumed += count;
    if (count <= 0) this.faults.push(`consume of ${count}`);
    if (this.consumed > this.handed) this.faults.push(`${this.consumed} of ${this.handed} bytes consumed`);
  }

  abort(why: Reason): void {
    this.#record(`abort ${why.code}`);
    this.#over();
  }

  /** The client's connection is lost; nothing more may be sent to it. */
  gone(why: Reason): void {
    this.#busy = false;
    this.#exchangeEvents.onClientGone(why);
  }

  get #exchangeEvents(): ClientEvents {
    if (this.#events === undefined) throw new Error("no exchange");
    return this.#events;
  }

  #record(text: string): void {
    if (!this.#busy) this.faults.push(`client: ${text} when nothing is under way`);
    this.recorded.push(text);
  }

  #over(): void {
    this.#busy = false;
    this.onOver();
  }
}
