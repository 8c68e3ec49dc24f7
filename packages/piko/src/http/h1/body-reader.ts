// Reads the bodies of a connection's messages, one after another: finds where each body ends, checks chunked framing, and
// passes the bytes on without it. Used by the proxy and the agent for both requests and responses.

import { CR, LF } from "../ascii.js";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_UNTIL_CLOSE } from "../body-framing.js";
import { CHUNK_LINE_INCOMPLETE, CHUNK_LINE_INVALID, ChunkLine } from "./chunk-line.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import { TrailerSection } from "./trailer-section.js";

/** Receives body bytes. A range is valid only during the call. */
export interface BodySink {
  onBody(buffer: Buffer, start: number, end: number): void;
}

/** The body is refused; `error` has the reason. */
export const BODY_INVALID = -1;

/** Chunks up to this size are moved next to the data before them: a separate call to the sink costs more than the copy. */
const MOVED_BYTES = 4096;

/** Below this size, a byte loop is faster than the call into native code. */
const SMALL_MOVE_BYTES = 24;

// States of a chunked body.
const CHUNK_LINE = 0;
const CHUNK_DATA = 1;
const CHUNK_CR = 2;
const CHUNK_LF = 3;
/** At the first byte of a trailer line or of the blank line. */
const TRAILER_START = 4;
const TRAILER_LINE = 5;
const TRAILER_LF = 6;
/** After the CR of the blank line. */
const END_LF = 7;

/** A reusable reader; call `reset` before each body. */
export class BodyReader {
  /** The body is complete. */
  done = true;
  /** Why {@link BodyReader.read} returned BODY_INVALID or {@link BodyReader.finish} false. */
  error: HttpError | undefined = undefined;
  /** Body bytes read so far, without the framing. */
  received = 0;
  /** The field lines of the trailer section, if the body is complete and has one. */
  trailers: Buffer | undefined = undefined;
  #kind: number = BODY_NONE;
  /** Remaining bytes: of a body with a known length, or of the current chunk. */
  #remaining = 0;
  #state = CHUNK_LINE;
  readonly #line: ChunkLine;
  readonly #trailers: TrailerSection;

  /**
   * Request bodies are read strictly. In response bodies, white space that other readers skip is removed. With a budget,
   * memory for trailers is counted there: call `clear` if a body isn't read to its end.
   */
  constructor(of: "request" | "response" = "request", budget?: ByteBudget) {
    const tolerant = of === "response";
    this.#line = new ChunkLine(tolerant);
    this.#trailers = new TrailerSection(tolerant, budget);
  }

  /** Begins a body of the given BODY_* kind. `length` is only used for BODY_LENGTH. */
  reset(kind: number, length: number): void {
    this.done = kind === BODY_NONE || (kind === BODY_LENGTH && length === 0);
    this.error = undefined;
    this.received = 0;
    this.trailers = undefined;
    this.#kind = kind;
    this.#remaining = kind === BODY_LENGTH ? length : 0;
    this.#state = CHUNK_LINE;
    this.clear();
    if (kind === BODY_CHUNKED) this.#line.reset();
  }

  /**
   * Reads the bytes at `start` that belong to the body and passes them to the sink. Returns the offset after the last
   * of them (`end` if the body continues), or BODY_INVALID. The bytes of a chunked body are overwritten.
   */
  read(buffer: Buffer, start: number, end: number, sink: BodySink): number {
    if (this.done || start === end) return start;
    if (this.#kind === BODY_CHUNKED) return this.#readChunked(buffer, start, end, sink);
    let stop = end;
    if (this.#kind === BODY_LENGTH) {
      if (end - start >= this.#remaining) {
        stop = start + this.#remaining;
        this.done = true;
      }
      this.#remaining -= stop - start;
    }
    this.received += stop - start;
    sink.onBody(buffer, start, stop);
    return stop;
  }

  /** The connection ended. Returns whether the body is complete; if not, `error` is set. */
  finish(): boolean {
    if (this.#kind === BODY_UNTIL_CLOSE) this.done = true;
    if (this.done) return true;
    this.error = HTTP_ERRORS.TRUNCATED;
    return false;
  }

  /** Frees what is kept of a body that won't be read to its end. */
  clear(): void {
    if (this.#trailers.length > 0) this.#trailers.clear();
  }

  #readChunked(buffer: Buffer, start: number, end: number, sink: BodySink): number {
    let i = start;
    // [from, to) is data that hasn't been passed on yet: small chunks are moved together, over the framing between them.
    let from = start;
    let to = start;
    let error: HttpError | undefined;
    let done = false;
    while (i < end && error === undefined && !done) {
      switch (this.#state) {
        case CHUNK_LINE: {
          const next = this.#line.read(buffer, i, end);
          if (next === CHUNK_LINE_INVALID) error = this.#line.error ?? HTTP_ERRORS.CHUNK_SIZE;
          else if (next === CHUNK_LINE_INCOMPLETE) i = end;
          else {
            i = next;
            this.#remaining = this.#line.size;
            this.#state = this.#remaining === 0 ? TRAILER_START : CHUNK_DATA;
            this.#line.next();
          }
          break;
        }
        case CHUNK_DATA: {
          const stop = end - i < this.#remaining ? end : i + this.#remaining;
          this.received += stop - i;
          this.#remaining -= stop - i;
          if (to > from && stop - i <= MOVED_BYTES) {
            to = moveBytes(buffer, i, stop, to);
          } else {
            if (to > from) sink.onBody(buffer, from, to);
            from = i;
            to = stop;
          }
          i = stop;
          if (this.#remaining === 0) this.#state = CHUNK_CR;
          break;
        }
        case CHUNK_CR:
          if (buffer[i++] === CR) this.#state = CHUNK_LF;
          else error = HTTP_ERRORS.CHUNK_END;
          break;
        case CHUNK_LF:
          if (buffer[i++] === LF) this.#state = CHUNK_LINE;
          else error = HTTP_ERRORS.CHUNK_END;
          break;
        default:
          if (this.#trailers.length === 0 && this.#state === TRAILER_START && buffer[i] === CR) {
            i++;
            this.#state = END_LF;
          } else if (this.#trailers.length === 0 && this.#state === END_LF) {
            if (buffer[i++] === LF) done = true;
            else error = HTTP_ERRORS.BARE_CR;
          } else {
            if (to > from) sink.onBody(buffer, from, to);
            return this.#readTrailers(buffer, i, end);
          }
      }
    }
    if (to > from) sink.onBody(buffer, from, to);
    if (error !== undefined) return this.#refuse(error);
    if (done) this.done = true;
    return i;
  }

  #readTrailers(buffer: Buffer, start: number, end: number): number {
    let i = start;
    while (i < end && !this.done) {
      const byte = buffer[i] as number;
      switch (this.#state) {
        case TRAILER_START:
          if (byte === LF) return this.#refuse(HTTP_ERRORS.BARE_LF);
          this.#state = byte === CR ? END_LF : TRAILER_LINE;
          break;
        case TRAILER_LINE:
          if (byte === LF) return this.#refuse(HTTP_ERRORS.BARE_LF);
          if (byte === CR) this.#state = TRAILER_LF;
          break;
        default:
          if (byte !== LF) return this.#refuse(HTTP_ERRORS.BARE_CR);
          if (this.#state === END_LF) this.done = true;
          this.#state = TRAILER_START;
      }
      i++;
    }
    const trailers = this.#trailers;
    if (!trailers.append(buffer, start, i)) return this.#refuse(trailers.error);
    if (!this.done) return i;
    if (!trailers.filter()) return this.#refuse(trailers.error);
    if (trailers.length > 2) this.trailers = trailers.lines;
    trailers.clear();
    return i;
  }

  #refuse(error: HttpError | undefined): typeof BODY_INVALID {
    this.error = error;
    this.done = false;
    this.#trailers.clear();
    return BODY_INVALID;
  }
}

/** Moves `buffer[start, end)` down to `to`; returns the offset after it. */
function moveBytes(buffer: Buffer, start: number, end: number, to: number): number {
  const count = end - start;
  if (count > SMALL_MOVE_BYTES) buffer.copyWithin(to, start, end);
  else for (let i = 0; i < count; i++) buffer[to + i] = buffer[start + i] as number;
  return to + count;
}
