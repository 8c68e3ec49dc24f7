// Random numbers that can be repeated from a seed (xoshiro128**), for tests whose failures must be reproducible.

/** A sequence of random numbers; two with the same seed are equal. */
export class SeededRandom {
  readonly seed: number;
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    this.seed = seed;
    // splitmix32 spreads a small seed over the whole state.
    let mixed = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let word = mixed;
      word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
      this.#state[i] = word ^ (word >>> 15);
    }
  }

  /** 32 random bits. */
  uint32(): number {
    const s = this.#state;
    const [a, b, c, d] = s as unknown as [number, number, number, number];
    const scrambled = Math.imul(b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    s[2] = c ^ a;
    s[3] = d ^ b;
    s[1] = b ^ (s[2] as number);
    s[0] = a ^ (s[3] as number);
    s[2] = (s[2] as number) ^ (b << 9);
    const last = s[3] as number;
    s[3] = (last << 11) | (last >>> 21);
    return result;
  }

  /** A number in [0, 1), like Math.random. */
  next(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** A whole number in [low, high], both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** One element of a list that isn't empty. */
  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new RangeError("nothing to pick from");
    return list[this.int(0, list.length - 1)] as T;
  }

  /** The same elements in another order. */
  shuffle<T>(list: readonly T[]): T[] {
    const mixed = [...list];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = this.int(0, i);
      [mixed[i], mixed[j]] = [mixed[j] as T, mixed[i] as T];
    }
    return mixed;
  }

  /** `count` random bytes. */
  bytes(count: number): Buffer {
    const buffer = Buffer.allocUnsafe(count);
    for (let i = 0; i < count; i++) buffer[i] = this.uint32() & 0xff;
    return buffer;
  }

  /** Cuts a buffer into pieces of 1 to `longest` bytes. */
  split(buffer: Buffer, longest: number): Buffer[] {
    const pieces: Buffer[] = [];
    for (let at = 0; at < buffer.length; ) {
      const end = Math.min(buffer.length, at + this.int(1, longest));
      pieces.push(buffer.subarray(at, end));
      at = end;
    }
    return pieces;
  }
}
