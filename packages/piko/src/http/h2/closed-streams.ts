// Remembers closed streams: a frame that was in transit when we reset its stream is ignored, a frame on a stream that had
// ended is an error (RFC 9113 section 5.1), and a frame on a stream that never existed is a different error.

/** Enough for all streams that may still have frames in transit. */
const REMEMBERED = 128;

/** The stream isn't among those that were closed recently. */
export const UNKNOWN = 0;
/** Both sides have ended the stream, or the peer has reset it. */
export const ENDED = 1;
/** We have reset the stream. */
export const RESET = 2;

export class ClosedStreams {
  /** A ring of entries, each a stream id and how the stream ended, combined into one number. */
  #ring: Float64Array | undefined = undefined;
  #next = 0;

  add(streamId: number, how: typeof ENDED | typeof RESET): void {
    this.#ring ??= new Float64Array(REMEMBERED);
    this.#ring[this.#next] = streamId * 4 + how;
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  /** How a stream ended: one of the constants above. */
  find(streamId: number): number {
    if (this.#ring === undefined) return UNKNOWN;
    for (const entry of this.#ring) if (Math.floor(entry / 4) === streamId && entry > 0) return entry % 4;
    return UNKNOWN;
  }
}
