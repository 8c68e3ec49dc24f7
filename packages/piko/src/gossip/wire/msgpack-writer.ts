// Writes MessagePack in exactly the forms that Go Piko's encoder chooses: legacy raw strings (never str8), the shortest
// unsigned form for versions, signed forms for counts. Used by the codec only.

/** A growing buffer of MessagePack values. */
export class MsgpackWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 2_048) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Discards everything that was written. */
  reset(): void {
    this.#length = 0;
  }

  /** Discards everything after the first `length` bytes. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** Appends what another writer holds. */
  append(other: MsgpackWriter): void {
    this.#reserve(other.#length);
    this.#length += other.#buffer.copy(this.#buffer, this.#length, 0, other.#length);
  }

  /** A copy of what was written. */
  copy(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length));
  }

  /** Appends bytes that are already encoded. */
  raw(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#length += bytes.copy(this.#buffer, this.#length);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  nil(): void {
    this.byte(0xc0);
  }

  bool(value: boolean): void {
    this.byte(value ? 0xc3 : 0xc2);
  }

  string(text: string): void {
    const bytes = Buffer.byteLength(text);
    this.#reserve(5 + bytes);
    if (bytes < 32) this.#buffer[this.#length++] = 0xa0 | bytes;
    else this.#head(0xda, 0xdb, bytes);
    this.#length += this.#buffer.write(text, this.#length);
  }

  arrayHeader(count: number): void {
    this.#reserve(5);
    if (count < 16) this.#buffer[this.#length++] = 0x90 | count;
    else this.#head(0xdc, 0xdd, count);
  }

  /** Writes a version: an integer from 0 to 2^53 - 1. */
  uint(value: number): void {
    this.#reserve(9);
    const buffer = this.#buffer;
    if (value < 0x80) buffer[this.#length++] = value;
    else if (value < 0x100) {
      buffer[this.#length++] = 0xcc;
      buffer[this.#length++] = value;
    } else if (value < 0x1_0000) {
      buffer[this.#length] = 0xcd;
      this.#length = buffer.writeUInt16BE(value, this.#length + 1);
    } else if (value < 0x1_0000_0000) {
      buffer[this.#length] = 0xce;
      this.#length = buffer.writeUInt32BE(value, this.#length + 1);
    } else {
      buffer[this.#length] = 0xcf;
      this.#length = buffer.writeBigUInt64BE(BigInt(value), this.#length + 1);
    }
  }

  /** Writes a count, which Go holds in a signed integer. */
  int(value: number): void {
    this.#reserve(9);
    const buffer = this.#buffer;
    if (value < 0x80) buffer[this.#length++] = value;
    else if (value < 0x8000) {
      buffer[this.#length] = 0xd1;
      this.#length = buffer.writeInt16BE(value, this.#length + 1);
    } else {
      buffer[this.#length] = 0xd2;
      this.#length = buffer.writeInt32BE(value, this.#length + 1);
    }
  }

  #head(tag16: number, tag32: number, size: number): void {
    const wide = size > 0xffff;
    this.#buffer[this.#length] = wide ? tag32 : tag16;
    this.#length = wide
      ? this.#buffer.writeUInt32BE(size, this.#length + 1)
      : this.#buffer.writeUInt16BE(size, this.#length + 1);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
