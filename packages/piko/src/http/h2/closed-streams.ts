// Remembers closed streams: a frame that was in transit when we reset its stream is ignored, one on a stream that had
// ended is an error (RFC 9113 section 5.1), and one on a stream that never existed is another.

/** As many as may have frames on the way. */
const REMEMBERED = 128;

/** Not among those that were closed lately. */
export const UNKNOWN = 0;
/** Both sides have ended it, or the peer has reset it. */
export const ENDED = 1;
/** We have reset it. */
export const RESET = 2;

export class ClosedStreams {
  /** Id and how it ended, as one number; a ring. */
  #ring: Float64Array | undefined = undefined;
  #next = 0;

  add(streamId: number, how: typeof ENDED | typeof RESET): void {
    this.#ring ??= new Float64Array(REMEMBERED);
    this.#ring[this.#next] = streamId * 4 + how;
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  /** How a stream has ended. */
  find(streamId: number): number {
    if (this.#ring === undefined) return UNKNOWN;
    for (const entry of this.#ring) if (Math.floor(entry / 4) === streamId && entry > 0) return entry % 4;
    return UNKNOWN;
  }
}
