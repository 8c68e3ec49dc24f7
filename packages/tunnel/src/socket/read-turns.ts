// Sockets that have read their share of an event-loop turn and continue in the next one, after other sockets were read. Without
// this, libuv reads up to 32 times from one socket before it turns to the next: 8 MiB of whatever a peer sends. The length of a
// turn is determined in turn-length.ts.

/** A socket that waits for its next turn. */
export interface Reader {
  onReadTurn(): void;
}

/** One list per process: setImmediate callbacks run right after the poll phase, and reads started there are polled next. */
class ReadTurns {
  #waiting: Reader[] = [];
  #spare: Reader[] = [];
  readonly #run = (): void => {
    const waiting = this.#waiting;
    this.#waiting = this.#spare;
    for (let i = 0; i < waiting.length; i++) (waiting[i] as Reader).onReadTurn();
    waiting.length = 0;
    this.#spare = waiting;
  };

  /** Schedules one call of `onReadTurn` in the next turn; to be called once per turn. */
  wait(reader: Reader): void {
    // oxlint-disable-next-line no-restricted-globals -- the next turn: other sockets are read before it
    if (this.#waiting.push(reader) === 1) setImmediate(this.#run);
  }
}

export const readTurns: ReadTurns = new ReadTurns();
