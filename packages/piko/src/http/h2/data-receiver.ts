// DATA frames (RFC 9113 section 6.1): which stream gets their bytes, and how much they use of the windows of stream and
// connection. Whatever happens to a stream, each byte received on it is returned to the connection's window, once.

import { ENDED } from "./closed-streams.js";
import { CONNECTION_ERRORS } from "./connection-errors.js";
import { type ConnectionError, FLOW_CONTROL_ERROR, PROTOCOL_ERROR, STREAM_CLOSED } from "./error-codes.js";
import { FLAG_END_STREAM } from "./frame.js";
import type { DataEvents } from "./frame-reader.js";
import type { FrameSender } from "./frame-sender.js";
import { ReceiveWindow } from "./receive-window.js";
import type { H2Stream } from "./stream.js";
import type { StreamTable } from "./stream-table.js";

/** What a data receiver needs from its connection. */
export interface DataConnection {
  readonly sender: FrameSender;
  readonly streams: StreamTable;
  /** Why DATA isn't allowed now, on any stream; undefined if it is. */
  readonly dataRefusal: ConnectionError | undefined;
  /** Counts a frame without content. False if there were too many; the connection has failed then. */
  countControl(): boolean;
  fail(problem: ConnectionError): void;
  streamError(streamId: number, code: number): void;
}

export class DataReceiver implements DataEvents {
  readonly #connection: DataConnection;
  readonly #window: ReceiveWindow;
  // The frame in progress: its stream (undefined if it is ignored), whether it ends the stream, and its remaining bytes.
  #stream: H2Stream | undefined;
  #ends: boolean;
  #left: number;

  constructor(connection: DataConnection, windowBytes: number) {
    this.#connection = connection;
    this.#window = new ReceiveWindow(windowBytes);
    this.#stream = undefined;
    this.#ends = false;
    this.#left = 0;
  }

  /** `count` bytes of any stream have been processed. */
  credit(count: number): void {
    const granted = this.#window.give(count);
    if (granted > 0) this.#connection.sender.sendWindow(0, granted);
  }

  onDataFrame(flags: number, streamId: number, length: number): void {
    const connection = this.#connection;
    const refusal = streamId === 0 ? CONNECTION_ERRORS.STREAM_ID : connection.dataRefusal;
    this.#stream = undefined;
    this.#left = length;
    this.#ends = (flags & FLAG_END_STREAM) !== 0;
    if (refusal !== undefined) connection.fail(refusal);
    else if (!this.#window.take(length)) connection.fail(CONNECTION_ERRORS.WINDOW);
    else if (length > 0 || this.#ends || connection.countControl()) this.#choose(streamId, length);
  }

  onData(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#left -= end - start;
    stream.deliver(buffer, start, end);
  }

  onDataEnd(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    // The remaining bytes are padding, or the whole frame if it is ignored.
    if (stream === undefined) this.credit(this.#left);
    else {
      if (this.#left > 0) stream.skip(this.#left);
      if (this.#ends && !stream.closed) stream.receiveEnd(undefined);
    }
  }

  #choose(streamId: number, length: number): void {
    const connection = this.#connection;
    const { streams } = connection;
    const stream = streams.open.get(streamId);
    if (stream === undefined) {
      if (streams.isIdle(streamId)) connection.fail(CONNECTION_ERRORS.IDLE_STREAM);
      else if (streams.howEnded(streamId) === ENDED) connection.streamError(streamId, STREAM_CLOSED);
    } else if (stream.receiveEnded) connection.streamError(streamId, STREAM_CLOSED);
    else if (stream.awaitsHead) connection.streamError(streamId, PROTOCOL_ERROR);
    else if (!stream.receiveWindow.take(length)) connection.streamError(streamId, FLOW_CONTROL_ERROR);
    else this.#stream = stream;
  }
}
