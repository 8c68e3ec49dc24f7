// The keys of a JWKS: fetched when the node starts, again ahead of the end of their time, and when a token names a key
// that isn't among them. The last good set counts for as long as its source is down.

import { fileURLToPath } from "node:url";
import type { Clock, Timer } from "@piko/tunnel";
import type { JwksConfig } from "../config/auth.js";
import { WatchedFile } from "../net/watched-file.js";
import type { Logger } from "../observability/logger.js";
import { fetchJwks } from "./fetch-jwks.js";
import { MAX_JWKS_BYTES, parseJwks } from "./jwks.js";
import type { KeySource } from "./key-source.js";
import type { KeySet } from "./keys.js";

const DEFAULT_TTL_MS = 3_600_000;
const DEFAULT_TIMEOUT_MS = 10_000;
/** A part of their time after which keys are fetched again. */
const AHEAD = 0.8;
/** Shortest time from one fetch to the next, whoever asks. */
const SHORTEST_MS = 10_000;
/** The same behind a failure: doubled with each further one, up to what can be waited for where nobody is let in. */
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const LONGEST_FIRST_RETRY_MS = 5_000;

export interface JwksSourceOptions {
  readonly config: JwksConfig;
  /** Where the settings are: `proxy.auth`. */
  readonly section: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** There are other keys from now on. */
  readonly onChange: () => void;
}

export class JwksSource implements KeySource {
  readonly #options: JwksSourceOptions;
  readonly #ttlMs: number;
  readonly #timeoutMs: number;
  readonly #gone = new AbortController();
  #file: WatchedFile | undefined = undefined;
  #keys: KeySet | undefined = undefined;
  /** What the keys were made of. */
  #bytes: Buffer = Buffer.alloc(0);
  #fetchedMs = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined = undefined;
  #failures = 0;
  #timer: Timer | undefined = undefined;

  constructor(options: JwksSourceOptions) {
    this.#options = options;
    const { cacheTtlMs, timeoutMs } = options.config;
    this.#ttlMs = cacheTtlMs === 0 ? DEFAULT_TTL_MS : cacheTtlMs;
    this.#timeoutMs = timeoutMs === 0 ? DEFAULT_TIMEOUT_MS : timeoutMs;
    if (options.config.endpoint.startsWith("http:")) {
      options.logger.warn("keys come over plain http: anybody on the way can replace them", {
        setting: `${options.section}.jwks.endpoint`,
      });
    }
    void this.#start();
  }

  get keys(): KeySet | undefined {
    return this.#keys;
  }

  get ageMs(): number | undefined {
    return this.#keys === undefined ? undefined : this.#options.clock.now() - this.#fetchedMs;
  }

  /** The keys are being asked for. */
  get fetching(): boolean {
    return this.#fetching !== undefined;
  }

  refresh(): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    // To look at a file costs nobody else anything.
    const soon = this.#options.clock.now() - this.#askedMs < SHORTEST_MS;
    if (soon && this.#file === undefined) return Promise.resolve();
    return this.#start();
  }

  close(): void {
    this.#gone.abort();
    this.#file?.close();
    this.#setTimer(undefined);
  }

  #start(): Promise<void> {
    this.#setTimer(undefined);
    this.#askedMs = this.#options.clock.now();
    this.#fetching = this.#load().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** Never rejects. */
  async #load(): Promise<void> {
    const { clock, config } = this.#options;
    try {
      if (config.endpoint.startsWith("file:")) await this.#readFile();
      else {
        const url = new URL(config.endpoint);
        this.#accept(await fetchJwks(url, this.#timeoutMs, clock, this.#gone.signal));
      }
      if (this.#failures > 0) this.#say("info", "keys can be had again");
      this.#failures = 0;
    } catch (error) {
      this.#onFailure(error as Error);
    }
    if (this.#gone.signal.aborted || this.#file !== undefined) return;
    this.#setTimer(this.#failures === 0 ? Math.max(RETRY_MS, this.#ttlMs * AHEAD) : this.#retryMs);
  }

  get #retryMs(): number {
    const longest = this.#keys === undefined ? LONGEST_FIRST_RETRY_MS : LONGEST_RETRY_MS;
    return Math.min(longest, RETRY_MS * 2 ** Math.min(this.#failures - 1, 10));
  }

  /** The first time, the file is opened; from then on it is watched. */
  async #readFile(): Promise<void> {
    const { clock, config } = this.#options;
    if (this.#file !== undefined) {
      await this.#file.look();
      return;
    }
    const file = new WatchedFile({
      path: fileURLToPath(config.endpoint),
      maxBytes: MAX_JWKS_BYTES,
      clock,
      onChange: (bytes) => this.#acceptChange(bytes),
      onFailure: (error) => this.#onFailure(error),
    });
    try {
      this.#accept(file.bytes);
      this.#file = file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  #acceptChange(bytes: Buffer): void {
    try {
      this.#accept(bytes);
      this.#failures = 0;
    } catch (error) {
      this.#onFailure(error as Error);
    }
  }

  #accept(bytes: Buffer): void {
    if (this.#gone.signal.aborted) return;
    const changed = this.#keys === undefined || !bytes.equals(this.#bytes);
    if (changed) {
      this.#keys = parseJwks(bytes);
      this.#bytes = bytes;
    }
    this.#fetchedMs = this.#options.clock.now();
    if (!changed) return;
    this.#say("info", "keys read");
    this.#options.onChange();
  }

  #onFailure(error: Error): void {
    if (this.#gone.signal.aborted) return;
    this.#failures++;
    const kept = this.#keys === undefined ? "nobody is let in" : "the last ones go on counting";
    this.#say("warn", `could not get keys, ${kept}`, { error });
  }

  #say(level: "info" | "warn", message: string, more: Record<string, unknown> = {}): void {
    const { logger, section } = this.#options;
    logger[level](message, { setting: `${section}.jwks.endpoint`, ...more });
  }

  #setTimer(ms: number | undefined): void {
    const { clock } = this.#options;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    this.#timer = ms === undefined ? undefined : clock.setTimeout(() => void this.#start(), ms);
  }
}
