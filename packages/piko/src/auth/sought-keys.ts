// Keys that tokens name and that aren't known: those that the next fetch is to find, and those that the last one didn't have.
// A question is answered by a fetch that has begun after it, since one under way may have been answered before the key was
// published.

/** Most names that are remembered as missing, and the longest: strangers choose them. */
const MAX_MISSING = 1_024;
const MAX_NAME_CHARS = 256;

/** What one fetch is to find, and who waits for it. */
export class Search {
  readonly keyIds: Set<string> = new Set();
  readonly #waiters: ((told: boolean) => void)[] = [];

  add(keyId: string): Promise<boolean> {
    if (this.keyIds.size < MAX_MISSING && keyId.length <= MAX_NAME_CHARS) this.keyIds.add(keyId);
    return new Promise((resolve) => void this.#waiters.push(resolve));
  }

  /** `told`: the source has said what it has. */
  end(told: boolean): void {
    for (const waiter of this.#waiters.splice(0)) waiter(told);
  }
}

export class SoughtKeys {
  /** For the fetch that begins next. */
  #next: Search | undefined = undefined;
  #missing: ReadonlySet<string> = new Set();

  /** Somebody waits for a fetch that hasn't begun. */
  get waiting(): boolean {
    return this.#next !== undefined;
  }

  /** Waits for the next fetch: resolves to whether the source has said what it has. */
  add(keyId: string): Promise<boolean> {
    this.#next ??= new Search();
    return this.#next.add(keyId);
  }

  /** A fetch begins: those that it answers, if there are any. */
  take(): Search | undefined {
    const search = this.#next;
    this.#next = undefined;
    return search;
  }

  /** There is a set of keys. `knows` tells what is in it; nothing is missing that it wasn't searched for. */
  onKeys(search: Search | undefined, knows: (keyId: string) => boolean): void {
    this.#missing = new Set([...(search?.keyIds ?? [])].filter((keyId) => !knows(keyId)));
  }

  /** The last set was searched for this key, and hasn't got it. */
  lacks(keyId: string): boolean {
    return this.#missing.has(keyId);
  }
}
