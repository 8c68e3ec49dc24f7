// Writes the fields after a body (RFC 9113 section 8.1) as lines.

import { FieldLines } from "./field-lines.js";

const COLON = 0x3a;
const CRLF = Buffer.from("\r\n", "latin1");

export class TrailerFields extends FieldLines {
  /** Prepares for the next section. */
  begin(): void {
    this.clear();
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
    if (name[nameStart] === COLON) this.refuse("pseudo-field in trailers");
    else if (this.check(name, nameStart, nameEnd, value, valueStart, valueEnd) >= 0) {
      this.addLine(name, nameStart, nameEnd, value, valueStart, valueEnd);
    }
  }

  /** All fields have arrived: adds the blank line after them. */
  finish(): void {
    this.add(CRLF, 0, CRLF.length);
  }
}
