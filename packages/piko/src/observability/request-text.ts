// The text of a log line about one request and its response: collected as JSON while their heads are valid, because the bytes of
// the heads are gone later.

import type { RequestHead, ResponseHead } from "../http/head.js";
import { targetPathEnd } from "../http/target-path.js";
import { ByteText } from "./byte-text.js";
import type { HeaderFields } from "./header-fields.js";

/** Enough for most requests. */
const MIN_BYTES = 512;
/** Memory that a connection keeps for its next request. */
const KEPT_BYTES = 2_048;

const BACKSLASH = 0x5c;
const CLIENT = Buffer.from(`"client-ip":"`);
const CLIENT_END = Buffer.from(`",`);
/** By the number that {@link protocolOf} returns. */
const PROTOCOLS: readonly string[] = ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"];
const REQUEST = PROTOCOLS.map((proto) => Buffer.from(`"request":{"proto":"${proto}","method":"`));
const HOST = Buffer.from(`","host":"`);
const PATH = Buffer.from(`","path":"`);
const NO_PATH = Buffer.from("/");
const PATH_END = Buffer.from(`"`);

/** The text of one request; reusable for the next one. */
export class RequestText {
  /** Members of a JSON object: from the client to the response's fields. */
  readonly #json: ByteText = new ByteText(MIN_BYTES);
  // The text up to the path is kept for the next request: on one connection it seldom changes.
  #kept = false;
  #clientIp: string | undefined = undefined;
  #protocol = 1;
  #method = "";
  #hostStart = 0;
  #hostEnd = 0;
  #pathStart = 0;
  #pathEnd = 0;
  /** The path is in the text as received, without characters that JSON escapes. */
  #pathIsPlain = false;
  // The text after the path is kept too, as long as the fields are those of the previous message.
  #requestFields = 0;
  #requestEnd = 0;
  #responseFields = 0;
  #responseEnd = 0;
  #answered = false;

  /** Starts the text of a request. `fields` formats its header fields; undefined if no one will see them. */
  begin(head: RequestHead, clientIp: string | undefined, fields: HeaderFields | undefined): void {
    const json = this.#json;
    const pathEnd = targetPathEnd(head);
    this.#answered = false;
    const same = this.#sameUpToPath(head, clientIp);
    const fieldsStart = this.#pathEnd + PATH_END.length;
    if (
      same &&
      this.#samePath(head, pathEnd) &&
      fields?.repeats(head, this.#requestFields, json, fieldsStart) === true
    ) {
      json.length = this.#requestEnd;
      return;
    }
    if (same) json.length = this.#pathStart;
    else this.#addUpToPath(head, clientIp);
    if (pathEnd === head.pathStart) json.add(NO_PATH);
    else json.addQuotable(head.buffer, head.pathStart, pathEnd);
    this.#pathEnd = json.length;
    this.#pathIsPlain = this.#pathEnd - this.#pathStart === pathEnd - head.pathStart;
    json.add(PATH_END);
    this.#requestFields = fields === undefined ? 0 : fields.format(head, json);
    this.#requestEnd = json.length;
    this.#responseFields = 0;
  }

  /** Adds the fields of the response that is passed on. */
  answer(head: ResponseHead, fields: HeaderFields | undefined): void {
    const json = this.#json;
    this.#answered = true;
    if (fields === undefined) return;
    if (this.#responseFields !== 0 && fields.repeats(head, this.#responseFields, json, this.#requestEnd)) {
      json.length = this.#responseEnd;
      return;
    }
    this.#responseFields = fields.format(head, json);
    this.#responseEnd = json.length;
  }

  /** The text of a request that has ended. A response made by the proxy itself has no fields to show. */
  complete(fields: HeaderFields | undefined): ByteText {
    if (!this.#answered && fields !== undefined) {
      this.#responseFields = 0;
      this.#json.add(fields.none);
    }
    return this.#json;
  }

  /** Ends the use of the text. Its memory is kept for the next request unless it is large. */
  clear(): void {
    this.#json.clear(KEPT_BYTES);
    if (this.#json.bytes.length === 0) this.#kept = false;
  }

  /** Undefined if unknown. */
  get clientIp(): string | undefined {
    return this.#clientIp;
  }

  /** `HTTP/1.1` */
  get protocol(): string {
    return PROTOCOLS[this.#protocol] as string;
  }

  get host(): string {
    return this.#unquote(this.#hostStart, this.#hostEnd);
  }

  /** Without the query, which may contain secrets. */
  get path(): string {
    return this.#unquote(this.#pathStart, this.#pathEnd);
  }

  /** Copies as much of the path, escaped as in JSON, as there is room for. Returns the number of bytes. */
  copyPath(target: Uint8Array): number {
    const end = Math.min(this.#pathEnd, this.#pathStart + target.length);
    return this.#json.bytes.copy(target, 0, this.#pathStart, end);
  }

  #sameUpToPath(head: RequestHead, clientIp: string | undefined): boolean {
    if (!this.#kept || clientIp !== this.#clientIp || head.method !== this.#method) return false;
    if (this.#protocol !== protocolOf(head)) return false;
    const { buffer, hostStart, hostEnd } = head;
    if (hostEnd - hostStart !== this.#hostEnd - this.#hostStart) return false;
    const { bytes } = this.#json;
    for (let i = hostStart, at = this.#hostStart; i < hostEnd; i++, at++) {
      if (buffer[i] !== bytes[at]) return false;
    }
    return true;
  }

  #samePath({ buffer, pathStart }: RequestHead, pathEnd: number): boolean {
    if (!this.#pathIsPlain || pathEnd - pathStart !== this.#pathEnd - this.#pathStart) return false;
    const { bytes } = this.#json;
    for (let i = pathStart, at = this.#pathStart; i < pathEnd; i++, at++) {
      if (buffer[i] !== bytes[at]) return false;
    }
    return true;
  }

  #addUpToPath(head: RequestHead, clientIp: string | undefined): void {
    const json = this.#json;
    this.#clientIp = clientIp;
    this.#protocol = protocolOf(head);
    this.#method = head.method;
    json.length = 0;
    if (clientIp !== undefined) {
      json.add(CLIENT);
      json.addLatin1(clientIp);
      json.add(CLIENT_END);
    }
    json.add(REQUEST[this.#protocol] as Buffer);
    json.addLatin1(head.method);
    json.add(HOST);
    this.#hostStart = json.length;
    json.addQuotable(head.buffer, head.hostStart, head.hostEnd);
    this.#hostEnd = json.length;
    // In the text, a host with an escaped character could be mistaken for another host.
    this.#kept = !json.bytes.subarray(this.#hostStart, this.#hostEnd).includes(BACKSLASH);
    json.add(PATH);
    this.#pathStart = json.length;
  }

  #unquote(start: number, end: number): string {
    if (start >= end) return "";
    return JSON.parse(`"${this.#json.bytes.toString("utf8", start, end)}"`) as string;
  }
}

function protocolOf(head: RequestHead): number {
  return head.http2 ? 2 : head.minorVersion;
}
