// Converts a request's fields (RFC 9113 section 8.3.1) to the head of an HTTP/1.1 request. The parser of that head
// refuses the same as from an HTTP/1.1 client; here is what only HTTP/2 can get wrong.

import { randomKey } from "@piko/tunnel";
import * as ascii from "../ascii.js";
import { asciiBytes, equalsIgnoringCase, rangesEqualIgnoringCase, spells } from "../ascii.js";
import * as names from "../field-names.js";
import { FieldLines } from "./field-lines.js";

// Own constants: see ascii.ts.
const { COLON, SLASH, SP } = ascii;
const { FIELD_CONTENT_LENGTH, FIELD_COOKIE, FIELD_HOST, FIELD_SEC_WEBSOCKET_KEY } = names;

const CONNECT_BYTES = 7;
const DEL = 0x7f;
const ASTERISK = 0x2a;
const HOST = asciiBytes("host");
const COOKIE = asciiBytes("cookie");
const COOKIE_JOINT = asciiBytes("; ");
const CHUNKED = asciiBytes("transfer-encoding: chunked\r\n");
const BLANK = asciiBytes(" ");
const GET = asciiBytes("GET");
const UPGRADE = asciiBytes("connection: upgrade\r\nupgrade: websocket\r\n");
const WEBSOCKET = asciiBytes("websocket");
const KEY = asciiBytes("sec-websocket-key");
const VERSION_LINE_END = asciiBytes(" HTTP/1.1\r\n");
const CRLF = asciiBytes("\r\n");

// Pseudo-fields that have come.
const METHOD = 1;
const SCHEME = 2;
const AUTHORITY = 4;
const PATH = 8;
const PROTOCOL = 16;
/** What an extended CONNECT has (RFC 8441 section 4). */
const EXTENDED = METHOD | SCHEME | AUTHORITY | PATH | PROTOCOL;

export class RequestFields extends FieldLines {
  /** The method is CONNECT, which has no head of this kind; or an extended one, to a protocol that is unknown here. */
  connect: boolean;
  /** An extended CONNECT asks for a WebSocket: the head is that of its handshake, with this key. */
  webSocketKey: string | undefined;
  /** Which pseudo-fields have come, and where their values are. */
  #seen: number;
  #methodStart: number;
  #methodEnd: number;
  #pathStart: number;
  #pathEnd: number;
  #authorityStart: number;
  #authorityEnd: number;
  /** The first line is written: pseudo-fields come no more. */
  #begun: boolean;
  #hasLength: boolean;
  #isWebSocket: boolean;
  /** Pieces of Cookie, which HTTP/1.1 knows as one field (section 8.2.3). */
  #cookie: Buffer;
  /** -1: there is none. */
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

  /** The next request begins. */
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
    // Key and accept are between us and the service.
    if (id === FIELD_SEC_WEBSOCKET_KEY && this.webSocketKey !== undefined) return;
    this.addLine(name, nameStart, nameEnd, value, valueStart, valueEnd);
  }

  /** All fields have come. `last`: there is no body. The head is whole then, unless it is malformed or too large. */
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
    // Blanks would end it within the first line of the head.
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

  /** The first lines, which the pseudo-fields say. */
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
      spells(buffer, this.#methodStart, "CONNECT");
    const extended = connect && (seen & PROTOCOL) !== 0;
    if (connect && seen !== (extended ? EXTENDED : METHOD | AUTHORITY)) {
      this.refuse(extended ? "extended connect lacks a pseudo-field" : "connect needs an authority alone");
    } else if (!connect && (seen & PROTOCOL) !== 0) this.refuse("protocol without connect");
    this.connect = connect && !this.#isWebSocket;
    if (this.connect || this.malformed !== undefined) return;
    if ((seen & METHOD) === 0) this.refuse("no method");
    else if ((seen & SCHEME) === 0) this.refuse("no scheme");
    else if ((seen & PATH) === 0 || pathStart === pathEnd) this.refuse("no path");
    // A target with an authority of its own would win over the one that was sent.
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

  /** What a WebSocket's handshake has in HTTP/1.1 (RFC 8441 section 5.1). */
  #addHandshake(): void {
    const key = randomKey();
    const bytes = asciiBytes(key);
    this.webSocketKey = key;
    this.add(UPGRADE, 0, UPGRADE.length);
    this.addLine(KEY, 0, KEY.length, bytes, 0, bytes.length);
  }

  /** Host has to name what `:authority` names, and is left out then. */
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
    const needed = length + COOKIE_JOINT.length + end - start;
    if (needed > this.#cookie.length) {
      const larger = Buffer.allocUnsafeSlow(needed * 2);
      this.#cookie.copy(larger, 0, 0, length);
      this.#cookie = larger;
    }
    let at = length;
    if (this.#cookieLength >= 0) at += COOKIE_JOINT.copy(this.#cookie, at);
    this.#cookieLength = at + value.copy(this.#cookie, at, start, end);
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

/** Which of them a name is; 0 for none that a request has. */
function pseudoField(name: Buffer, start: number, end: number): number {
  switch (end - start) {
    case 5:
      return spells(name, start, ":path") ? PATH : 0;
    case 7:
      return spells(name, start, ":method") ? METHOD : spells(name, start, ":scheme") ? SCHEME : 0;
    case 10:
      return spells(name, start, ":authority") ? AUTHORITY : 0;
    case 9:
      return spells(name, start, ":protocol") ? PROTOCOL : 0;
    default:
      return 0;
  }
}

function isScheme(buffer: Buffer, start: number, end: number): boolean {
  if (end - start === 4) return spells(buffer, start, "http");
  return end - start === 5 && spells(buffer, start, "https");
}

function isText(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    if (byte <= SP || byte === DEL) return false;
  }
  return true;
}
