// Unknown keys that tokens name: who waits for them, and which ones the source lacks. Only a fetch that began after a token
// arrived can show that its key is missing; one already in progress may have been answered before the key was published.

/** Maximum number of missing names that are remembered, and maximum length of each: strangers choose them. */
const MAX_MISSING = 1_024;
const MAX_NAME_CHARS = 256;

/** A waiter for a key. */
export interface KeySeeker {
  readonly keyId: string;
  /** Called with the result; `succeeded` is false if the source was unavailable. The key itself may or may not have been found. */
  onSearchEnd(succeeded: boolean): void;
}

export class SoughtKeys {
  /** Seekers that wait for the fetch in progress. */
  #asked = new Set<KeySeeker>();
  /** Seekers that wait for the next fetch. */
  #next = new Set<KeySeeker>();
  #missing: ReadonlySet<string> = new Set();

  /** Whether a seeker waits for a fetch that hasn't begun. */
  get waiting(): boolean {
    return this.#next.size > 0;
  }

  add(seeker: KeySeeker): void {
    this.#next.add(seeker);
  }

  /** Removes a seeker, which isn't called any more. */
  remove(seeker: KeySeeker): void {
    if (!this.#next.delete(seeker)) this.#asked.delete(seeker);
  }

  /** Called when a fetch begins. */
  begin(): void {
    this.#asked = this.#next;
    this.#next = new Set();
  }

  /** New keys are available, from the fetch in progress or (`fetched` is false) otherwise. Calls the seekers whose key is among them. */
  onKeys(knows: (keyId: string) => boolean, fetched: boolean): void {
    const missing = new Set<string>();
    if (fetched) {
      for (const { keyId } of this.#asked) {
        if (missing.size >= MAX_MISSING) break;
        if (keyId.length <= MAX_NAME_CHARS && !knows(keyId)) missing.add(keyId);
      }
    }
    this.#missing = missing;
    for (const seeker of [...this.#asked, ...this.#next]) {
      if (!knows(seeker.keyId)) continue;
      this.remove(seeker);
      seeker.onSearchEnd(true);
    }
  }

  /** The fetch in progress has ended, with keys if it `succeeded`. */
  end(succeeded: boolean): void {
    const asked = this.#asked;
    this.#asked = new Set();
    for (const seeker of asked) seeker.onSearchEnd(succeeded);
  }

  /** No further fetch will begin. */
  close(): void {
    this.end(false);
    this.begin();
    this.end(false);
  }

  /** Whether the last fetch looked for this key and didn't find it. */
  lacks(keyId: string): boolean {
    return this.#missing.has(keyId);
  }
}
