// What a log line says of one request and its response: gathered as JSON while their heads are valid, because the bytes
// of the heads are gone later.

import type { RequestHead, ResponseHead } from "../http1/head.js";
import { targetPathEnd } from "../http1/target-path.js";
import { ByteText } from "./byte-text.js";
import type { HeaderFields } from "./header-fields.js";

/** Most requests need no more. */
const LEAST_BYTES = 512;
/** Memory that a connection keeps for its next request. */
const KEPT_BYTES = 2_048;

const HOST = Buffer.from(`"host":"`);
const PATH = Buffer.from(`","path":"`);
const NO_PATH = Buffer.from("/");
const REQUEST_FIELDS = Buffer.from(`","request_headers":`);
const RESPONSE_FIELDS = Buffer.from(`,"response_headers":`);
const NO_FIELDS = Buffer.from("{}");

export class RequestText {
  /** Members of a JSON object: from the host to the fields of the response. */
  readonly json: ByteText = new ByteText(LEAST_BYTES);
  #hostEnd = 0;
  #pathStart = 0;
  #pathEnd = 0;
  #answered = false;

  /** Starts on a request. `fields` formats those of its head; undefined when nobody will see them. */
  begin(head: RequestHead, fields: HeaderFields | undefined): void {
    const { json } = this;
    json.length = 0;
    json.add(HOST);
    json.addQuotable(head.buffer, head.hostStart, head.hostEnd);
    this.#hostEnd = json.length;
    json.add(PATH);
    this.#pathStart = json.length;
    const pathEnd = targetPathEnd(head);
    if (pathEnd === head.pathStart) json.add(NO_PATH);
    else json.addQuotable(head.buffer, head.pathStart, pathEnd);
    this.#pathEnd = json.length;
    json.add(REQUEST_FIELDS);
    if (fields === undefined) json.add(NO_FIELDS);
    else fields.format(head, json);
    this.#answered = false;
  }

  /** Adds the fields of the response that is passed on. */
  answer(head: ResponseHead, fields: HeaderFields | undefined): void {
    this.json.add(RESPONSE_FIELDS);
    if (fields === undefined) this.json.add(NO_FIELDS);
    else fields.format(head, this.json);
    this.#answered = true;
  }

  /** Completes the text of a request that is over: a response that the proxy has made itself has no fields to show. */
  complete(): void {
    if (this.#answered) return;
    this.json.add(RESPONSE_FIELDS);
    this.json.add(NO_FIELDS);
  }

  /** The text was used; its memory stays for the next one unless it is much. */
  clear(): void {
    this.json.clear(KEPT_BYTES);
  }

  get host(): string {
    return this.#unquote(HOST.length, this.#hostEnd);
  }

  /** Without the query, which may hold secrets. */
  get path(): string {
    return this.#unquote(this.#pathStart, this.#pathEnd);
  }

  #unquote(start: number, end: number): string {
    if (start >= end) return "";
    return JSON.parse(`"${this.json.bytes.toString("utf8", start, end)}"`) as string;
  }
}
