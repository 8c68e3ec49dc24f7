// Sockets that have read their share of an event-loop turn and go on in the next one, behind what other sockets have to
// say. Without it libuv reads up to 32 times from one socket before it looks at the next: 8 MiB of whatever a peer sends.
// How long a turn is stands in turn-length.ts.

/** A socket that waits for its next turn. */
export interface Reader {
  onReadTurn(): void;
}

/** One list per process: setImmediate comes right behind the poll phase, and what is started there is polled next. */
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

  /** Asks for one call of `onReadTurn`, in the next turn; the caller asks once. */
  wait(reader: Reader): void {
    // oxlint-disable-next-line no-restricted-globals -- the next turn: other sockets are read before it
    if (this.#waiting.push(reader) === 1) setImmediate(this.#run);
  }
}

export const readTurns: ReadTurns = new ReadTurns();
