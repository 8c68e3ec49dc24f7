// An HTTP/2 client made of frames: it sends whatever a test wants, valid or not, and reads what comes back.

import { HpackDecoder } from "../src/http/h2/hpack-decoder.js";

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;

export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export type Field = readonly [name: string, value: string];

/** The pseudo-header fields of a valid request. */
export const GET_FIELDS: readonly Field[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/x"],
  [":authority", "e.test"],
];
export const POST_FIELDS: readonly Field[] = [[":method", "POST"], ...GET_FIELDS.slice(1)];

/** One frame, as bytes in a string. */
export function frame(type: number, flags: number, streamId: number, payload = ""): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return head.toString("latin1") + payload;
}

/** A 32-bit number as four bytes. */
export function uint32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString("latin1");
}

/** The payload of a SETTINGS frame. */
export function settings(...values: readonly (readonly [id: number, value: number])[]): string {
  return values.map(([id, value]) => `\0${String.fromCharCode(id)}${uint32(value)}`).join("");
}

/** A header block of literals without indexing. */
export function block(fields: readonly Field[]): string {
  return fields.map(([name, value]) => `\0${text(name)}${text(value)}`).join("");
}

function text(value: string): string {
  if (value.length < 127) return String.fromCharCode(value.length) + value;
  let length = "\x7f";
  let rest = value.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length += String.fromCharCode((rest & 0x7f) | 0x80);
  return length + String.fromCharCode(rest) + value;
}

/** A HEADERS frame with a complete header block. */
export function headers(streamId: number, fields: readonly Field[], last = true): string {
  return frame(HEADERS, END_HEADERS | (last ? END_STREAM : 0), streamId, block(fields));
}

export function data(streamId: number, payload: string, last = false): string {
  return frame(DATA, last ? END_STREAM : 0, streamId, payload);
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: string;
}

const FRAME_HEAD_BYTES = 9;

/** The complete frames at the beginning of a text, without a partial last one. */
export function framesOf(text: string): Frame[] {
  const frames: Frame[] = [];
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; bytes.length - at >= FRAME_HEAD_BYTES; ) {
    const start = at + FRAME_HEAD_BYTES;
    const end = start + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    frames.push({
      type: bytes[at + 3] ?? 0,
      flags: bytes[at + 4] ?? 0,
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.toString("latin1", start, end),
    });
    at = end;
  }
  return frames;
}

/** What one stream received. */
export class Answer {
  /** Fields of each header block; the first ones may be interim responses, the last one trailers. */
  readonly heads: Record<string, string>[] = [];
  body = "";
  ended = false;
  /** The error code of RST_STREAM. */
  reset: number | undefined = undefined;

  get status(): string | undefined {
    return this.heads.at(0)?.[":status"];
  }
}

/** A socket in memory, or a real one. */
export interface PeerSocket {
  send(bytes: string): void;
  /** What was received since the last `take`. */
  take(): string;
}

export class H2Peer {
  readonly socket: PeerSocket;
  /** All frames received, in order. */
  readonly frames: Frame[] = [];
  readonly #answers = new Map<number, Answer>();
  readonly #decoder = new HpackDecoder(4_096);
  #rest = "";
  #block = "";

  /** Sends the preface and a SETTINGS frame with these values. */
  constructor(socket: PeerSocket, ...values: readonly (readonly [id: number, value: number])[]) {
    this.socket = socket;
    this.send(PREFACE + frame(SETTINGS, 0, 0, settings(...values)));
  }

  send(...frames: readonly string[]): this {
    this.socket.send(frames.join(""));
    return this;
  }

  /** What was received on a stream. */
  answer(streamId: number): Answer {
    this.#read();
    let answer = this.#answers.get(streamId);
    if (answer === undefined) {
      answer = new Answer();
      this.#answers.set(streamId, answer);
    }
    return answer;
  }

  /** Received frames of a type. */
  of(type: number): Frame[] {
    this.#read();
    return this.frames.filter((each) => each.type === type);
  }

  /** Content of the last GOAWAY. */
  get goAway(): { lastStreamId: number; code: number; message: string } | undefined {
    const payload = this.of(GOAWAY).at(-1)?.payload;
    if (payload === undefined) return undefined;
    const bytes = Buffer.from(payload, "latin1");
    return { lastStreamId: bytes.readUInt32BE(0), code: bytes.readUInt32BE(4), message: payload.slice(8) };
  }

  #read(): void {
    const text = this.#rest + this.socket.take();
    let at = 0;
    for (const frame of framesOf(text)) {
      this.#take(frame);
      at += FRAME_HEAD_BYTES + frame.payload.length;
    }
    this.#rest = text.slice(at);
  }

  #take(frame: Frame): void {
    const { flags, payload, streamId, type } = frame;
    this.frames.push(frame);
    if (streamId === 0) return;
    const answer = this.#answers.get(streamId) ?? new Answer();
    this.#answers.set(streamId, answer);
    if (type === DATA) answer.body += payload;
    if (type === HEADERS || type === CONTINUATION) {
      this.#block += payload;
      if ((flags & END_HEADERS) !== 0) answer.heads.push(this.#decode(this.#block));
      if ((flags & END_HEADERS) !== 0) this.#block = "";
    }
    if (type === RST_STREAM) answer.reset = Buffer.from(payload, "latin1").readUInt32BE(0);
    if ((type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0) answer.ended = true;
  }

  #decode(payload: string): Record<string, string> {
    const fields: Record<string, string> = {};
    const bytes = Buffer.from(payload, "latin1");
    const whole = this.#decoder.decode(bytes, 0, bytes.length, {
      onField(name, nameStart, nameEnd, value, valueStart, valueEnd) {
        fields[name.toString("latin1", nameStart, nameEnd)] = value.toString("latin1", valueStart, valueEnd);
      },
    });
    if (!whole) throw new Error("header block can't be decoded");
    return fields;
  }
}
