// Converts a request's fields (RFC 9113 section 8.3.1) to the head of an HTTP/1.1 request. The parser of that head refuses
// the same things as for an HTTP/1.1 client; this file checks what can only be wrong in HTTP/2.

import { randomKey } from "@piko/tunnel";
import * as ascii from "../ascii.js";
import { asciiBytes, equalsIgnoringCase, rangesEqualIgnoringCase, matchesAt } from "../ascii.js";
import * as names from "../field-names.js";
import { FieldLines } from "./field-lines.js";

// Local copies: see ascii.ts.
const { COLON, SLASH, SP } = ascii;
const { FIELD_CONTENT_LENGTH, FIELD_COOKIE, FIELD_HOST, FIELD_SEC_WEBSOCKET_KEY } = names;

const CONNECT_BYTES = 7;
const DEL = 0x7f;
const ASTERISK = 0x2a;
const HOST = asciiBytes("host");
const COOKIE = asciiBytes("cookie");
const COOKIE_SEPARATOR = asciiBytes("; ");
const CHUNKED = asciiBytes("transfer-encoding: chunked\r\n");
const BLANK = asciiBytes(" ");
const GET = asciiBytes("GET");
const UPGRADE = asciiBytes("connection: upgrade\r\nupgrade: websocket\r\n");
const WEBSOCKET = asciiBytes("websocket");
const KEY = asciiBytes("sec-websocket-key");
const VERSION_LINE_END = asciiBytes(" HTTP/1.1\r\n");
const CRLF = asciiBytes("\r\n");

// Pseudo-fields that have arrived.
const METHOD = 1;
const SCHEME = 2;
const AUTHORITY = 4;
const PATH = 8;
const PROTOCOL = 16;
/** The pseudo-fields of an extended CONNECT (RFC 8441 section 4). */
const EXTENDED = METHOD | SCHEME | AUTHORITY | PATH | PROTOCOL;

export class RequestFields extends FieldLines {
  /** The request is a CONNECT, which has no such head; or an extended CONNECT with an unknown protocol. */
  connect: boolean;
  /** Defined for an extended CONNECT with a WebSocket: the head is a WebSocket handshake with this key. */
  webSocketKey: string | undefined;
  /** Which pseudo-fields have arrived, and where their values are. */
  #seen: number;
  #methodStart: number;
  #methodEnd: number;
  #pathStart: number;
  #pathEnd: number;
  #authorityStart: number;
  #authorityEnd: number;
  /** The request line has been written: no more pseudo-fields are accepted. */
  #begun: boolean;
  #hasLength: boolean;
  #isWebSocket: boolean;
  /** The values of Cookie, joined: HTTP/1.1 allows only one such field (section 8.2.3). */
  #cookie: Buffer;
  /** -1 if there is none. */
  #cookieLength: number;

  constructor(maxBytes: number) {
    super(maxBytes);
    this.connect = false;
    this.webSocketKey = undefined;
    this.#seen = 0;
    this.#methodStart = 0;
    this.#methodEnd = 0;
    this.#pathStart = 0;
    this.#pathEnd = 0;
    this.#authorityStart = 0;
    this.#authorityEnd = 0;
    this.#begun = false;
    this.#hasLength = false;
    this.#isWebSocket = false;
    this.#cookie = EMPTY;
    this.#cookieLength = -1;
  }

  /** Prepares for the next request. */
  begin(): void {
    this.clear();
    this.connect = false;
    this.webSocketKey = undefined;
    this.#seen = 0;
    this.#begun = false;
    this.#hasLength = false;
    this.#isWebSocket = false;
    this.#cookieLength = -1;
  }

  onField(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (!this.admit(nameEnd - nameStart + valueEnd - valueStart)) return;
    if (name[nameStart] === COLON && nameEnd > nameStart) {
      this.#takePseudoField(name, nameStart, nameEnd, value, valueStart, valueEnd);
      return;
    }
    if (!this.#begun) this.#writeStart();
    const id = this.check(name, nameStart, nameEnd, value, valueStart, valueEnd);
    if (id < 0) return;
    if (id === FIELD_COOKIE) {
      this.#addCookie(value, valueStart, valueEnd);
      return;
    }
    if (id === FIELD_HOST && (this.#seen & AUTHORITY) !== 0) {
      this.#checkHost(value, valueStart, valueEnd);
      return;
    }
    if (id === FIELD_CONTENT_LENGTH) this.#hasLength = true;
    // The key and the service's answer to it concern only us and the service.
    if (id === FIELD_SEC_WEBSOCKET_KEY && this.webSocketKey !== undefined) return;
    this.addLine(name, nameStart, nameEnd, value, valueStart, valueEnd);
  }

  /** All fields have arrived. `last`: there is no body. Completes the head, unless it is malformed or too large. */
  finish(last: boolean): void {
    if (this.malformed !== undefined || this.tooLarge) return;
    if (!this.#begun) this.#writeStart();
    if (this.#cookieLength >= 0) this.addLine(COOKIE, 0, COOKIE.length, this.#cookie, 0, this.#cookieLength);
    if (!last && !this.#hasLength && this.webSocketKey === undefined) this.add(CHUNKED, 0, CHUNKED.length);
    this.add(CRLF, 0, CRLF.length);
  }

  #takePseudoField(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void {
    const kind = pseudoField(name, nameStart, nameEnd);
    if (kind === 0) this.refuse("unknown pseudo-field");
    else if (this.#begun) this.refuse("pseudo-field behind a field");
    else if ((this.#seen & kind) !== 0) this.refuse("pseudo-field more than once");
    // White space would end the value early within the request line.
    else if (!isText(value, valueStart, valueEnd)) this.refuse("invalid pseudo-field");
    else {
      this.#seen |= kind;
      const start = this.end;
      this.add(value, valueStart, valueEnd);
      this.#place(kind, start, this.end);
    }
  }

  #place(kind: number, start: number, end: number): void {
    switch (kind) {
      case METHOD:
        this.#methodStart = start;
        this.#methodEnd = end;
        break;
      case PATH:
        this.#pathStart = start;
        this.#pathEnd = end;
        break;
      case AUTHORITY:
        this.#authorityStart = start;
        this.#authorityEnd = end;
        break;
      case PROTOCOL:
        this.#isWebSocket =
          end - start === WEBSOCKET.length && equalsIgnoringCase(this.buffer, start, end, WEBSOCKET);
        break;
      default:
        if (!isScheme(this.buffer, start, end)) this.refuse("scheme other than http and https");
    }
  }

  /** Writes the lines that the pseudo-fields determine. */
  #writeStart(): void {
    this.#begun = true;
    this.start = this.end;
    const { buffer } = this;
    const seen = this.#seen;
    const pathStart = this.#pathStart;
    const pathEnd = this.#pathEnd;
    const connect =
      (seen & METHOD) !== 0 &&
      this.#methodEnd - this.#methodStart === CONNECT_BYTES &&
      matchesAt(buffer, this.#methodStart, "CONNECT");
    const extended = connect && (seen & PROTOCOL) !== 0;
    if (connect && seen !== (extended ? EXTENDED : METHOD | AUTHORITY)) {
      this.refuse(extended ? "extended connect lacks a pseudo-field" : "connect needs an authority alone");
    } else if (!connect && (seen & PROTOCOL) !== 0) this.refuse("protocol without connect");
    this.connect = connect && !this.#isWebSocket;
    if (this.connect || this.malformed !== undefined) return;
    if ((seen & METHOD) === 0) this.refuse("no method");
    else if ((seen & SCHEME) === 0) this.refuse("no scheme");
    else if ((seen & PATH) === 0 || pathStart === pathEnd) this.refuse("no path");
    // A target with its own authority would take precedence over `:authority`.
    else if (buffer[pathStart] !== SLASH && !(buffer[pathStart] === ASTERISK && pathEnd === pathStart + 1)) {
      this.refuse("path without a slash");
    } else if ((seen & AUTHORITY) !== 0 && this.#authorityStart === this.#authorityEnd) {
      this.refuse("empty authority");
    }
    if (this.malformed !== undefined) return;
    if (extended) this.add(GET, 0, GET.length);
    else this.add(buffer, this.#methodStart, this.#methodEnd);
    this.add(BLANK, 0, 1);
    this.add(this.buffer, pathStart, pathEnd);
    this.add(VERSION_LINE_END, 0, VERSION_LINE_END.length);
    if ((seen & AUTHORITY) === 0) return;
    this.addLine(HOST, 0, HOST.length, this.buffer, this.#authorityStart, this.#authorityEnd);
    if (extended) this.#addHandshake();
  }

  /** Adds the fields that a WebSocket handshake has in HTTP/1.1 (RFC 8441 section 5.1). */
  #addHandshake(): void {
    const key = randomKey();
    const bytes = asciiBytes(key);
    this.webSocketKey = key;
    this.add(UPGRADE, 0, UPGRADE.length);
    this.addLine(KEY, 0, KEY.length, bytes, 0, bytes.length);
  }

  /** Checks that Host equals `:authority`. The field is left out, because `:authority` has become Host already. */
  #checkHost(value: Buffer, valueStart: number, valueEnd: number): void {
    const start = this.end;
    this.add(value, valueStart, valueEnd);
    const same = rangesEqualIgnoringCase(
      this.buffer,
      start,
      this.end,
      this.#authorityStart,
      this.#authorityEnd,
    );
    this.end = start;
    if (!same) this.refuse("authority and host differ");
  }

  #addCookie(value: Buffer, start: number, end: number): void {
    const length = Math.max(0, this.#cookieLength);
    const needed = length + COOKIE_SEPARATOR.length + end - start;
    if (needed > this.#cookie.length) {
      const larger = Buffer.allocUnsafeSlow(needed * 2);
      this.#cookie.copy(larger, 0, 0, length);
      this.#cookie = larger;
    }
    let at = length;
    if (this.#cookieLength >= 0) at += COOKIE_SEPARATOR.copy(this.#cookie, at);
    this.#cookieLength = at + value.copy(this.#cookie, at, start, end);
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

/** Which pseudo-field a name is; 0 if requests don't have it. */
function pseudoField(name: Buffer, start: number, end: number): number {
  switch (end - start) {
    case 5:
      return matchesAt(name, start, ":path") ? PATH : 0;
    case 7:
      return matchesAt(name, start, ":method") ? METHOD : matchesAt(name, start, ":scheme") ? SCHEME : 0;
    case 10:
      return matchesAt(name, start, ":authority") ? AUTHORITY : 0;
    case 9:
      return matchesAt(name, start, ":protocol") ? PROTOCOL : 0;
    default:
      return 0;
  }
}

function isScheme(buffer: Buffer, start: number, end: number): boolean {
  if (end - start === 4) return matchesAt(buffer, start, "http");
  return end - start === 5 && matchesAt(buffer, start, "https");
}

function isText(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    if (byte <= SP || byte === DEL) return false;
  }
  return true;
}
