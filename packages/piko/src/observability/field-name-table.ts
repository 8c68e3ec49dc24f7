// Finds canonical field names by the bytes that a peer sent (`user-agent` -> `User-Agent`), without making a string of each. Used
// by header-fields.ts.

/** Maximum names remembered. A peer that invents names only causes them to be worked out again. */
const MAX_NAMES = 512;
const SLOTS = 2_048;

/** A field name as the access log writes it. */
export class FieldName {
  readonly name: string;
  /** `"User-Agent":["` */
  readonly opening: Uint8Array;
  readonly shown: boolean;
  readonly secret: boolean;
  /** Number of the last head that this name was seen in; shows whether a field is repeated. */
  seenIn: number;

  constructor(name: string, shown: boolean, secret: boolean) {
    this.name = name;
    this.opening = Buffer.from(`${JSON.stringify(name)}:["`);
    this.shown = shown;
    this.secret = secret;
    this.seenIn = 0;
  }
}

class Slot {
  readonly bytes: Uint8Array;
  readonly name: FieldName;

  constructor(bytes: Uint8Array, name: FieldName) {
    this.bytes = bytes;
    this.name = name;
  }
}

/** A hash table from sent bytes to names. If two names share a slot, the last one stays. */
export class FieldNameTable {
  readonly #slots: (Slot | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  readonly #canonical: Map<string, FieldName> = new Map();
  readonly #create: (canonical: string) => FieldName;

  constructor(create: (canonical: string) => FieldName) {
    this.#create = create;
  }

  /** Forgets all names if there are too many. Must not be called in the middle of a head. */
  trim(): void {
    if (this.#canonical.size <= MAX_NAMES) return;
    this.#canonical.clear();
    this.#slots.fill(undefined);
  }

  /** The name in `buffer` from `start` to `end`. */
  get(buffer: Uint8Array, start: number, end: number): FieldName {
    let hash = end - start;
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (buffer[i] as number)) | 0;
    const index = (hash ^ (hash >>> 11)) & (SLOTS - 1);
    const slot = this.#slots[index];
    if (slot !== undefined && equals(slot.bytes, buffer, start, end)) return slot.name;
    const bytes = Buffer.from(buffer.subarray(start, end));
    const canonical = canonicalName(bytes.toString("latin1"));
    let name = this.#canonical.get(canonical);
    if (name === undefined) {
      name = this.#create(canonical);
      this.#canonical.set(canonical, name);
    }
    this.#slots[index] = new Slot(bytes, name);
    return name;
  }
}

function equals(bytes: Uint8Array, buffer: Uint8Array, start: number, end: number): boolean {
  const length = bytes.length;
  if (length !== end - start) return false;
  for (let i = 0; i < length; i++) if (bytes[i] !== buffer[start + i]) return false;
  return true;
}

/** `user-agent` -> `User-Agent`, as Go writes field names. */
export function canonicalName(name: string): string {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}
