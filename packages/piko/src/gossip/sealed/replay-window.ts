// Remembers which messages of a life were seen. Messages may overtake each other, and each is accepted once; those older than
// the window can't be distinguished from replays, and are dropped.

/** Number of counters below the highest one that are remembered. */
export const WINDOW_COUNTERS = 4_096;

/** The counters of one life. */
export class ReplayWindow {
  readonly #seen = new Uint32Array(WINDOW_COUNTERS / 32);
  #highest = 0;

  /** Whether the counter is new, and not below the window. */
  isNew(counter: number): boolean {
    if (counter > this.#highest) return true;
    if (counter < 1 || this.#highest - counter >= WINDOW_COUNTERS) return false;
    return ((this.#seen[wordOf(counter)] ?? 0) & bitOf(counter)) === 0;
  }

  /** Remembers a new counter. */
  add(counter: number): void {
    if (counter - this.#highest >= WINDOW_COUNTERS) this.#seen.fill(0);
    else for (let passed = this.#highest + 1; passed <= counter; passed++) this.#clear(passed);
    this.#highest = Math.max(this.#highest, counter);
    const word = wordOf(counter);
    this.#seen[word] = (this.#seen[word] ?? 0) | bitOf(counter);
  }

  #clear(counter: number): void {
    const word = wordOf(counter);
    this.#seen[word] = (this.#seen[word] ?? 0) & ~bitOf(counter);
  }
}

function wordOf(counter: number): number {
  return (counter % WINDOW_COUNTERS) >>> 5;
}

function bitOf(counter: number): number {
  return 1 << (counter % 32);
}
