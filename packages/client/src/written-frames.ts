// Follows what a server writes to a connection, as far as a closing listener needs it: whether the connection has become a
// WebSocket, and where its frames begin (RFC 6455 section 5.2). One per connection of a listener.

/** Maximum size of a response head that begins an upgrade; a longer one isn't recognized as an upgrade. */
const MAX_HEAD_BYTES = 16 * 1024;
const SWITCHING = Buffer.from("HTTP/1.1 101 ", "latin1");
const HEAD_END = "\r\n\r\n";
const UPGRADE_TO_WEBSOCKET = /\r\nupgrade:[ \t]*websocket[ \t]*\r\n/i;

const OPCODE_CLOSE = 8;

/** A Close frame with status 1001, going away (section 7.4.1). Unmasked, as a server's frames are. */
export const GOING_AWAY: Buffer = Buffer.from([0x80 | OPCODE_CLOSE, 2, 1001 >> 8, 1001 & 0xff]);

/** Follows the bytes of a connection. */
export class WrittenFrames {
  /** `other`: not a WebSocket, or one that the server has closed itself. */
  #state: "head" | "frames" | "other" = "head";
  /** The received part of the head, or of a frame's header. */
  #begun: Buffer = Buffer.alloc(0);
  /** Remaining bytes of the current frame's payload. */
  #leftBytes = 0;

  /** Whether the next byte begins a frame of a WebSocket that the server has not closed. */
  get betweenFrames(): boolean {
    return this.#state === "frames" && this.#leftBytes === 0 && this.#begun.length === 0;
  }

  /** To be called with what is written next. */
  follow(chunk: Buffer): void {
    if (this.#state === "head") this.#followHead(chunk);
    else if (this.#state === "frames") this.#followFrames(chunk);
  }

  #followHead(chunk: Buffer): void {
    const head = this.#begun.length === 0 ? chunk : Buffer.concat([this.#begun, chunk]);
    const known = Math.min(head.length, SWITCHING.length);
    const end = head.indexOf(HEAD_END, 0, "latin1");
    if (head.compare(SWITCHING, 0, known, 0, known) !== 0) {
      this.#leave();
    } else if (end >= 0 && UPGRADE_TO_WEBSOCKET.test(head.toString("latin1", 0, end + 2))) {
      this.#state = "frames";
      this.#begun = Buffer.alloc(0);
      this.#followFrames(head.subarray(end + HEAD_END.length));
    } else if (end >= 0 || head.length > MAX_HEAD_BYTES) {
      this.#leave();
    } else {
      this.#begun = Buffer.from(head);
    }
  }

  #followFrames(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const skipped = Math.min(this.#leftBytes, chunk.length - at);
      this.#leftBytes -= skipped;
      at += skipped;
      if (at === chunk.length) return;
      const begun = this.#begun.length;
      const header = begun === 0 ? chunk.subarray(at) : Buffer.concat([this.#begun, chunk.subarray(at)]);
      const headerBytes = headerLength(header);
      if (header.length < headerBytes) {
        this.#begun = Buffer.from(header);
        return;
      }
      if (((header[0] ?? 0) & 0x0f) === OPCODE_CLOSE) {
        this.#leave();
        return;
      }
      this.#leftBytes = payloadLength(header);
      this.#begun = Buffer.alloc(0);
      at += headerBytes - begun;
    }
  }

  #leave(): void {
    this.#state = "other";
    this.#begun = Buffer.alloc(0);
  }
}

/** Length of a frame's header, as far as its first bytes determine it. */
function headerLength(header: Buffer): number {
  if (header.length < 2) return 2;
  const second = header[1] ?? 0;
  const length = second & 0x7f;
  return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (second >= 0x80 ? 4 : 0);
}

function payloadLength(header: Buffer): number {
  const length = (header[1] ?? 0) & 0x7f;
  if (length < 126) return length;
  return length === 126 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2));
}
