// The streams of a connection by their ids: which are open, which ids have been used, and how recent streams ended.

import { IdMap } from "@piko/tunnel";
import { ClosedStreams, ENDED, RESET } from "./closed-streams.js";
import { INITIAL_WINDOW_BYTES, MAX_31_BITS } from "./frame.js";
import { H2Stream, type StreamConnection } from "./stream.js";

export class StreamTable {
  /** Streams that haven't ended. */
  readonly open: IdMap<H2Stream>;
  /** The highest stream id used so far. */
  lastId: number;
  readonly #closed: ClosedStreams;
  /** Initial windows of new streams: for sending, and for receiving. */
  #sendWindow: number;
  readonly #receiveWindow: number;

  constructor(receiveWindow: number) {
    this.open = new IdMap();
    this.lastId = 0;
    this.#closed = new ClosedStreams();
    this.#sendWindow = INITIAL_WINDOW_BYTES;
    this.#receiveWindow = receiveWindow;
  }

  /** The stream hasn't been opened. */
  isIdle(streamId: number): boolean {
    return streamId > this.lastId || (streamId & 1) === 0;
  }

  /** Opens a stream. `last`: its peer has finished sending. */
  add(connection: StreamConnection, streamId: number, last: boolean): H2Stream {
    const stream = new H2Stream(connection, streamId, this.#sendWindow, this.#receiveWindow);
    stream.receiveEnded = last;
    this.open.set(streamId, stream);
    return stream;
  }

  /** A stream has ended. `reset`: we reset it. */
  remove(streamId: number, reset: boolean): void {
    this.open.delete(streamId);
    if (!this.isIdle(streamId)) this.#closed.add(streamId, reset ? RESET : ENDED);
  }

  /** One of the constants of closed-streams.ts. */
  howEnded(streamId: number): number {
    return this.#closed.find(streamId);
  }

  /** The peer changes the send window of all streams, open ones too (RFC 9113 section 6.9.2). False if a window overflows. */
  changeWindows(size: number): boolean {
    const change = size - this.#sendWindow;
    this.#sendWindow = size;
    for (const stream of this.open.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_31_BITS) return false;
    }
    return true;
  }
}
