// Looks for another token before the current tunnel's token expires, and whenever it hears that there may be one. An
// upstream gets each of its tokens here.

import type { Clock, Timer } from "@piko/tunnel";
import { errorText } from "./errors.js";
import type { Logger } from "./logger.js";
import { findTokenLife, readToken, type Token, type TokenLife } from "./token.js";

/** Part of a token's life after which it is looked for another. */
const LOOK_AT = 0.8;
/** Shortest time between two looks. */
const MIN_LOOK_MS = 1_000;
/** Maximum time until the next check; a timer can't wait for years. */
const MAX_LOOK_MS = 86_400_000;

export interface TokenRenewalOptions {
  readonly token: Token | undefined;
  readonly clock: Clock;
  /** Milliseconds since 1970, in which tokens say when they end. */
  readonly wallNow: () => number;
  readonly logger: Logger;
  /** Of the tunnels that are in place. */
  readonly inUse: () => readonly string[];
  /** There is another token than one of those in use. */
  readonly onOther: (token: string) => void;
}

export class TokenRenewal {
  readonly #options: TokenRenewalOptions;
  /** Of the latest attempt to connect. */
  #read = "";
  /** An attempt has succeeded. */
  #used = false;
  /** Found by a look since the latest attempt has asked for its token. */
  #other: string | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: TokenRenewalOptions) {
    this.#options = options;
  }

  /** The token of the latest attempt to connect. */
  get latest(): string {
    return this.#read;
  }

  /** The token for the next attempt to connect. */
  async read(): Promise<string> {
    this.#other = undefined;
    this.#read = await readToken(this.#options.token);
    return this.#read;
  }

  /** There is another token than the latest attempt had. */
  get stale(): boolean {
    return this.#other !== undefined && this.#other !== this.#read;
  }

  /** The latest attempt has succeeded. */
  used(): void {
    this.#used = true;
    if (this.stale) void this.look();
    else this.#schedule();
  }

  /** There may be another token. */
  async look(): Promise<void> {
    const { logger, onOther, token } = this.#options;
    if (this.#stopped || !this.#used) return;
    let found = "";
    try {
      found = await readToken(token);
    } catch (error) {
      logger.warn("failed to look for another token", { error: errorText(error) });
    }
    if (this.#stopped) return;
    // A source that has none at the moment is no reason to give up what works.
    if (found === "" || this.#isKnown(found)) {
      this.#schedule();
      return;
    }
    this.#other = found;
    onOther(found);
  }

  stop(): void {
    this.#stopped = true;
    this.#clear();
  }

  #schedule(): void {
    this.#clear();
    const { clock, token, wallNow } = this.#options;
    const life = this.#shortestLife();
    // A string can't change.
    if (this.#stopped || life === undefined || typeof token === "string") return;
    const now = wallNow();
    const leftMs = life.endMs - now;
    // It is over: the next connection asks for another anyway.
    if (leftMs <= 0) return;
    const startMs = life.startMs ?? now;
    const untilMs = startMs + LOOK_AT * (life.endMs - startMs) - now;
    // Where that is over already, or there was no other: at 80 % of the rest, again and again.
    const waitMs = untilMs > 0 ? Math.min(untilMs, leftMs) : LOOK_AT * leftMs;
    this.#timer = clock.setTimeout(
      () => void this.look(),
      Math.min(Math.max(waitMs, MIN_LOOK_MS), MAX_LOOK_MS),
    );
  }

  /** All tunnels have this token; where there are none, the latest attempt had it. */
  #isKnown(token: string): boolean {
    const inUse = this.#options.inUse();
    return inUse.length === 0 ? token === this.#read : inUse.every((used) => used === token);
  }

  /** Of the token in use that ends first. */
  #shortestLife(): TokenLife | undefined {
    let shortest: TokenLife | undefined;
    for (const used of this.#options.inUse()) {
      const life = findTokenLife(used);
      if (life !== undefined && life.endMs < (shortest?.endMs ?? Number.POSITIVE_INFINITY)) shortest = life;
    }
    return shortest;
  }

  #clear(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
