// Looks for a new token before the current tunnels' tokens expire, and whenever there may be one. An upstream gets all of its
// tokens from here.

import type { Clock, Timer } from "@piko/tunnel";
import { errorText } from "./errors.js";
import type { Logger } from "./logger.js";
import { findTokenLife, readToken, type Token, type TokenLife } from "./token.js";

/** Fraction of a token's lifetime after which a new one is looked for. */
const CHECK_AT = 0.8;
/** Minimum time between two checks. */
const MIN_CHECK_MS = 1_000;
/** Maximum time until the next check; a timer can't wait for years. */
const MAX_CHECK_MS = 86_400_000;

export interface TokenRenewalOptions {
  readonly token: Token | undefined;
  readonly clock: Clock;
  /** Milliseconds since 1970, the time in which tokens state their expiry. */
  readonly wallNow: () => number;
  readonly logger: Logger;
  /** Returns the tokens of the tunnels in use. */
  readonly inUse: () => readonly string[];
  /** Called when the token differs from one of those in use. */
  readonly onOther: (token: string) => void;
}

export class TokenRenewal {
  readonly #options: TokenRenewalOptions;
  /** The token of the latest attempt to connect. */
  #read = "";
  /** Whether an attempt has succeeded. */
  #used = false;
  /** A different token that was found since the latest attempt read its token. */
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

  /** Whether there is another token than that of the latest attempt. */
  get stale(): boolean {
    return this.#other !== undefined && this.#other !== this.#read;
  }

  /** The latest attempt succeeded. */
  used(): void {
    this.#used = true;
    if (this.stale) void this.check();
    else this.#schedule();
  }

  /** Checks whether there is a new token. */
  async check(): Promise<void> {
    const { logger, onOther, token } = this.#options;
    if (this.#stopped || !this.#used) return;
    let found = "";
    try {
      found = await readToken(token);
    } catch (error) {
      logger.warn("failed to look for another token", { error: errorText(error) });
    }
    if (this.#stopped) return;
    // If the source has no token at the moment, the current ones stay in use.
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
    // A constant string can't change.
    if (this.#stopped || life === undefined || typeof token === "string") return;
    const now = wallNow();
    const leftMs = life.endMs - now;
    // The token has expired: the next connection reads a new one anyway.
    if (leftMs <= 0) return;
    const startMs = life.startMs ?? now;
    const untilMs = startMs + CHECK_AT * (life.endMs - startMs) - now;
    // If that time has passed already, or there was no new token: after 80 % of the remaining time, repeatedly.
    const waitMs = untilMs > 0 ? Math.min(untilMs, leftMs) : CHECK_AT * leftMs;
    this.#timer = clock.setTimeout(
      () => void this.check(),
      Math.min(Math.max(waitMs, MIN_CHECK_MS), MAX_CHECK_MS),
    );
  }

  /** Whether all tunnels have this token; if there are none, whether the latest attempt had it. */
  #isKnown(token: string): boolean {
    const inUse = this.#options.inUse();
    return inUse.length === 0 ? token === this.#read : inUse.every((used) => used === token);
  }

  /** The lifetime of the token in use that expires first. */
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
