// A map whose keys are stream ids, for streams that come and go with every request. Adding and removing makes no garbage, and, unlike a
// `Map`, keeps none alive: a `Map` moves to a new table after some dozens of changes, and each old table refers to the next one. As soon
// as one of them is in the old generation, all later tables and their streams survive young collections: a fifth of all that an agent
// allocated (docs/decisions/001-data-path.md).

import { randomBytes } from "node:crypto";

/** Makes it impossible to choose ids that share a slot. */
const SEED = randomBytes(4).readInt32LE();
/** The number of slots at first: most tunnels are idle. */
const MIN_SLOTS = 8;
/** A map with no more slots than this never shrinks. */
const KEPT_SLOTS = 128;
/** A slot that is in use has another key: 0 isn't a stream's id. */
const FREE = 0;

/** Open addressing with linear probing; a removal moves later entries back (Knuth, The Art of Computer Programming, 6.4, algorithm R). */
export class IdMap<T> {
  readonly #seed: number;
  /** Their number is a power of two. */
  #keys: number[];
  #values: (T | undefined)[];
  #size: number;

  /** `seed`: a 32-bit number that peers don't know. */
  constructor(seed: number = SEED) {
    this.#seed = seed;
    this.#keys = freeKeys(MIN_SLOTS);
    this.#values = noValues(MIN_SLOTS);
    this.#size = 0;
  }

  get size(): number {
    return this.#size;
  }

  get(id: number): T | undefined {
    return this.#values[this.#slotOf(id | 0)];
  }

  /** Adds a value for an id from 1 to 2^32 - 1, or replaces that of the same id. */
  set(id: number, value: T): void {
    const key = id | 0;
    let slot = this.#slotOf(key);
    if (this.#keys[slot] === FREE) {
      // Half of the slots stay free, so that free ones are near.
      if (++this.#size * 2 >= this.#keys.length) {
        this.#resize(this.#keys.length * 2);
        slot = this.#slotOf(key);
      }
      this.#keys[slot] = key;
    }
    this.#values[slot] = value;
  }

  /** Returns whether there was a value. */
  delete(id: number): boolean {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let gap = this.#slotOf(id | 0);
    if (keys[gap] === FREE) return false;
    for (let slot = (gap + 1) & mask; keys[slot] !== FREE; slot = (slot + 1) & mask) {
      // An entry may move to the gap unless its first slot comes after it.
      const first = this.#firstSlot(keys[slot] as number);
      if (((slot - first) & mask) < ((slot - gap) & mask)) continue;
      keys[gap] = keys[slot] as number;
      this.#values[gap] = this.#values[slot];
      gap = slot;
    }
    keys[gap] = FREE;
    this.#values[gap] = undefined;
    this.#size--;
    if (keys.length > KEPT_SLOTS && this.#size * 16 < keys.length) this.#resize(keys.length / 4);
    return true;
  }

  /** All values, in no particular order. Later changes of the map don't change the array. */
  values(): T[] {
    return this.#values.filter((value) => value !== undefined);
  }

  clear(): void {
    this.#keys.fill(FREE);
    this.#values.fill(undefined);
    this.#size = 0;
  }

  /** The slot of a key, or the free one where it belongs. */
  #slotOf(key: number): number {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let slot = this.#firstSlot(key);
    while (keys[slot] !== key && keys[slot] !== FREE) slot = (slot + 1) & mask;
    return slot;
  }

  /** Where the search for a key begins. Mixes all of its bits (the finalizer of MurmurHash3). */
  #firstSlot(key: number): number {
    let hash = key ^ this.#seed;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
    return (hash ^ (hash >>> 16)) & (this.#keys.length - 1);
  }

  /** Moves all entries to a table of so many slots. */
  #resize(slots: number): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = freeKeys(slots);
    this.#values = noValues(slots);
    for (const [at, key] of keys.entries()) {
      if (key === FREE) continue;
      const slot = this.#slotOf(key);
      this.#keys[slot] = key;
      this.#values[slot] = values[at];
    }
  }
}

function freeKeys(slots: number): number[] {
  return Array.from({ length: slots }, () => FREE);
}

function noValues<T>(slots: number): (T | undefined)[] {
  return Array.from({ length: slots }, () => undefined);
}
