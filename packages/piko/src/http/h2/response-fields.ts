// Converts a response's fields (RFC 9113 section 8.3.2) to the head of an HTTP/1.1 response, for its parser.

import * as ascii from "../ascii.js";
import { asciiBytes, matchesAt } from "../ascii.js";
import { mayHaveBody } from "../body-framing.js";
import * as names from "../field-names.js";
import { FieldLines } from "./field-lines.js";

// Local copies: see ascii.ts.
const { COLON } = ascii;

const ZERO = 0x30;
const STATUS_NAME_BYTES = 7;
const STATUS_DIGITS = 3;
const SWITCHING_PROTOCOLS = 101;
const VERSION = asciiBytes("HTTP/1.1 ");
const LINE_END = asciiBytes(" \r\n");
const NO_BODY = asciiBytes("content-length: 0\r\n");
const CRLF = asciiBytes("\r\n");

export class ResponseFields extends FieldLines {
  /** 0 until it has arrived. */
  status: number;
  /** A field has arrived: `:status` is no longer accepted. */
  #begun: boolean;
  #hasLength: boolean;

  constructor(maxBytes: number) {
    super(maxBytes);
    this.status = 0;
    this.#begun = false;
    this.#hasLength = false;
  }

  begin(): void {
    this.clear();
    this.status = 0;
    this.#begun = false;
    this.#hasLength = false;
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
      this.#takeStatus(name, nameStart, nameEnd, value, valueStart, valueEnd);
      return;
    }
    this.#begun = true;
    if (this.status === 0) {
      this.refuse("no status");
      return;
    }
    const id = this.check(name, nameStart, nameEnd, value, valueStart, valueEnd);
    if (id < 0) return;
    if (id === names.FIELD_CONTENT_LENGTH) this.#hasLength = true;
    this.addLine(name, nameStart, nameEnd, value, valueStart, valueEnd);
  }

  /**
   * All fields have arrived. `last`: there is no body, which the head then declares, so that every hop sees a complete message.
   * `toHead`: the request was a HEAD, so the head may have the length of a body that isn't sent. Completes the head, unless it
   * is malformed.
   */
  finish(last: boolean, toHead: boolean): void {
    if (this.status === 0) this.refuse("no status");
    if (this.malformed !== undefined || this.tooLarge) return;
    if (last && !toHead && !this.#hasLength && mayHaveBody(this.status)) this.add(NO_BODY, 0, NO_BODY.length);
    this.add(CRLF, 0, CRLF.length);
  }

  #takeStatus(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (nameEnd - nameStart !== STATUS_NAME_BYTES || !matchesAt(name, nameStart, ":status")) {
      this.refuse("unknown pseudo-field");
    } else if (this.#begun) this.refuse("pseudo-field behind a field");
    else if (this.status !== 0) this.refuse("pseudo-field more than once");
    else {
      const status = statusOf(value, valueStart, valueEnd);
      if (status < 100) this.refuse("invalid status");
      // Section 8.6: HTTP/2 has no 101.
      else if (status === SWITCHING_PROTOCOLS) this.refuse("status 101");
      else {
        this.status = status;
        this.add(VERSION, 0, VERSION.length);
        this.add(value, valueStart, valueEnd);
        this.add(LINE_END, 0, LINE_END.length);
      }
    }
  }
}

/** The value of three digits; -1 for anything else. */
function statusOf(value: Buffer, start: number, end: number): number {
  if (end - start !== STATUS_DIGITS) return -1;
  let status = 0;
  for (let i = start; i < end; i++) {
    const digit = (value[i] as number) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    status = status * 10 + digit;
  }
  return status;
}
