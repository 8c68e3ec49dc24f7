// Looks for another token before the one of the present tunnel ends, and whenever it is told that there may be one. An
// upstream asks for each of its tokens here.

import type { Clock, Timer } from "@piko/tunnel";
import { errorText } from "./errors.js";
import type { Logger } from "./logger.js";
import { findTokenLife, readToken, type Token } from "./token.js";

/** Part of a token's life after which it is looked for another. */
const LOOK_AT = 0.8;
/** Shortest time between two looks. */
const MIN_LOOK_MS = 1_000;
/** Longest time until a look; a timer can't wait for years. */
const MAX_LOOK_MS = 86_400_000;

export interface TokenRenewalOptions {
  readonly token: Token | undefined;
  readonly clock: Clock;
  /** Milliseconds since 1970, in which tokens say when they end. */
  readonly wallNow: () => number;
  readonly logger: Logger;
  /** There is another token than that of the present tunnel. */
  readonly onOther: () => void;
}

export class TokenRenewal {
  readonly #options: TokenRenewalOptions;
  /** Of the latest attempt to connect. */
  #read = "";
  /** Of the present tunnel; undefined before the first. */
  #used: string | undefined;
  /** Found by a look since the latest attempt has asked for its token. */
  #other: string | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: TokenRenewalOptions) {
    this.#options = options;
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

  /** The latest attempt has succeeded: its token is the present tunnel's. */
  used(): void {
    this.#used = this.#read;
    if (this.stale) void this.look();
    else this.#schedule();
  }

  /** There may be another token. */
  async look(): Promise<void> {
    const { logger, onOther, token } = this.#options;
    if (this.#stopped || this.#used === undefined) return;
    let found = "";
    try {
      found = await readToken(token);
    } catch (error) {
      logger.warn("failed to look for another token", { error: errorText(error) });
    }
    if (this.#stopped) return;
    // A source that has none at the moment is no reason to give up what works.
    if (found === "" || found === this.#used) {
      this.#schedule();
      return;
    }
    this.#other = found;
    onOther();
  }

  stop(): void {
    this.#stopped = true;
    this.#clear();
  }

  #schedule(): void {
    this.#clear();
    const { clock, token, wallNow } = this.#options;
    const life = findTokenLife(this.#used ?? "");
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

  #clear(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
