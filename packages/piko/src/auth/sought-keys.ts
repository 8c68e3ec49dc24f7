// Unknown keys that tokens name: who waits for them, and which the source doesn't have. A question is answered by a fetch
// that began after it, since one already in progress may have been answered before the key was published.

/** Maximum number of names that are remembered as missing, and of their length: strangers choose them. */
const MAX_MISSING = 1_024;
const MAX_NAME_CHARS = 256;

/** A waiter for a key. */
export interface KeySeeker {
  readonly keyId: string;
  /** The key was found, or not; `told` is false if the source was unavailable. */
  onKeysTold(told: boolean): void;
}

export class SoughtKeys {
  /** Those that wait for the fetch in progress. */
  #asked = new Set<KeySeeker>();
  /** Those that wait for the next fetch. */
  #next = new Set<KeySeeker>();
  #missing: ReadonlySet<string> = new Set();

  /** Somebody waits for a fetch that hasn't begun. */
  get waiting(): boolean {
    return this.#next.size > 0;
  }

  add(seeker: KeySeeker): void {
    this.#next.add(seeker);
  }

  /** A waiter that has stopped waiting isn't called. */
  remove(seeker: KeySeeker): void {
    if (!this.#next.delete(seeker)) this.#asked.delete(seeker);
  }

  /** A fetch begins. */
  begin(): void {
    this.#asked = this.#next;
    this.#next = new Set();
  }

  /** There are keys, of the fetch in progress or (`fetched` false) by themselves. Tells those whose key is among them. */
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
      seeker.onKeysTold(true);
    }
  }

  /** The fetch is over. `told`: it was successful. */
  end(told: boolean): void {
    const asked = this.#asked;
    this.#asked = new Set();
    for (const seeker of asked) seeker.onKeysTold(told);
  }

  /** There will be no other fetch. */
  close(): void {
    this.end(false);
    this.begin();
    this.end(false);
  }

  /** The last fetch was to find this key, and hasn't. */
  lacks(keyId: string): boolean {
    return this.#missing.has(keyId);
  }
}
