// The keys of a JWKS: fetched when the node starts, again before they expire, and when a token names an unknown key.
// While the source is down, the last valid set stays in use.

import { fileURLToPath } from "node:url";
import type { Clock, Timer } from "@piko/tunnel";
import type { JwksConfig } from "../config/auth.js";
import { WatchedFile } from "../net/watched-file.js";
import type { Logger } from "../observability/logger.js";
import { fetchJwks } from "./fetch-jwks.js";
import { MAX_JWKS_BYTES, parseJwks } from "./jwks.js";
import type { KeySource } from "./key-source.js";
import type { KeySet } from "./keys.js";
import { type KeySeeker, SoughtKeys } from "./sought-keys.js";

const DEFAULT_TTL_MS = 3_600_000;
const DEFAULT_TIMEOUT_MS = 10_000;
/** Fraction of their lifetime after which keys are fetched again. */
const AHEAD = 0.8;
/** Minimum time between two fetches because of unknown keys; reading a file costs no one else anything. */
const MIN_INTERVAL_MS = 10_000;
const MIN_FILE_INTERVAL_MS = 1_000;
/**
 * Time until a fetch is retried after a failure: doubled with each further one, up to a maximum that is short if there are no keys yet.
 */
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
const MAX_FIRST_RETRY_MS = 5_000;

export interface JwksSourceOptions {
  readonly config: JwksConfig;
  /** Path of the settings, like `proxy.auth`. */
  readonly section: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when the keys have changed. */
  readonly onChange: () => void;
}

export class JwksSource implements KeySource {
  readonly #options: JwksSourceOptions;
  readonly #inFile: boolean;
  readonly #ttlMs: number;
  readonly #timeoutMs: number;
  readonly #gone = new AbortController();
  readonly #sought = new SoughtKeys();
  #file: WatchedFile | undefined = undefined;
  #keys: KeySet | undefined = undefined;
  /** The bytes from which the keys were read. */
  #bytes: Buffer = Buffer.alloc(0);
  #fetchedMs = 0;
  /** When the last fetch because of an unknown key began; `#seeking` if the next one is such a fetch. */
  #searchedMs = Number.NEGATIVE_INFINITY;
  #seeking = false;
  #fetching: Promise<void> | undefined = undefined;
  /** Set while the file's last change is being read. */
  #changing: Promise<void> | undefined = undefined;
  /** Number of key sets whose reading has begun: the result of the last one is used. */
  #readings = 0;
  #failures = 0;
  #timer: Timer | undefined = undefined;
  /** When the timer is due. */
  #dueMs = Number.POSITIVE_INFINITY;

  private constructor(options: JwksSourceOptions) {
    this.#options = options;
    const { cacheTtlMs, endpoint, timeoutMs } = options.config;
    this.#inFile = endpoint.startsWith("file:");
    this.#ttlMs = cacheTtlMs === 0 ? DEFAULT_TTL_MS : cacheTtlMs;
    this.#timeoutMs = timeoutMs === 0 ? DEFAULT_TIMEOUT_MS : timeoutMs;
    if (endpoint.startsWith("http:")) {
      options.logger.warn("keys are fetched over plain http: anyone on the network path can replace them", {
        setting: `${options.section}.jwks.endpoint`,
      });
    }
  }

  /** Starts to fetch the keys. Those of a file are available when this resolves, unless the file is invalid. */
  static async open(options: JwksSourceOptions): Promise<JwksSource> {
    const source = new JwksSource(options);
    const fetched = source.#start();
    if (source.#inFile) await fetched;
    return source;
  }

  get keys(): KeySet | undefined {
    return this.#keys;
  }

  get ageMs(): number | undefined {
    return this.#keys === undefined ? undefined : this.#options.clock.now() - this.#fetchedMs;
  }

  get fetching(): Promise<void> | undefined {
    return this.#fetching;
  }

  lacks(keyId: string): boolean {
    return this.#earliestFetchMs > this.#options.clock.now() && this.#sought.lacks(keyId);
  }

  lookFor(seeker: KeySeeker): void {
    if (this.#gone.signal.aborted) {
      seeker.onSearchEnd(false);
      return;
    }
    this.#sought.add(seeker);
    this.#seeking = true;
    if (this.#fetching === undefined) this.#startAt(Math.min(this.#dueMs, this.#earliestFetchMs));
  }

  forget(seeker: KeySeeker): void {
    this.#sought.remove(seeker);
  }

  close(): void {
    this.#gone.abort();
    this.#file?.close();
    this.#startAt(undefined);
    this.#sought.close();
  }

  /** Earliest time of a fetch because of an unknown key. */
  get #earliestFetchMs(): number {
    return this.#searchedMs + (this.#inFile ? MIN_FILE_INTERVAL_MS : MIN_INTERVAL_MS);
  }

  #start(): Promise<void> {
    this.#startAt(undefined);
    if (this.#seeking) this.#searchedMs = this.#options.clock.now();
    this.#seeking = false;
    this.#sought.begin();
    this.#fetching = this.#load();
    return this.#fetching;
  }

  /** Never rejects. */
  async #load(): Promise<void> {
    let succeeded = false;
    try {
      if (this.#inFile) succeeded = await this.#readFile();
      else {
        const { clock, config } = this.#options;
        const url = new URL(config.endpoint);
        await this.#accept(await fetchJwks(url, this.#timeoutMs, clock, this.#gone.signal), true);
        succeeded = true;
      }
      if (succeeded && this.#failures > 0) {
        this.#failures = 0;
        this.#log("info", "keys are available again");
      }
    } catch (error) {
      this.#onFailure(error as Error);
    }
    this.#fetching = undefined;
    this.#sought.end(succeeded);
    this.#planNext();
  }

  #planNext(): void {
    if (this.#gone.signal.aborted) return;
    const nextMs = this.#failures === 0 ? Math.max(RETRY_MS, this.#ttlMs * AHEAD) : this.#retryMs;
    // A file that was opened is watched.
    const dueMs = this.#file === undefined ? this.#options.clock.now() + nextMs : Number.POSITIVE_INFINITY;
    this.#startAt(this.#sought.waiting ? Math.min(dueMs, this.#earliestFetchMs) : dueMs);
  }

  get #retryMs(): number {
    const maxMs = this.#keys === undefined ? MAX_FIRST_RETRY_MS : MAX_RETRY_MS;
    return Math.min(maxMs, RETRY_MS * 2 ** Math.min(this.#failures - 1, 10));
  }

  /** Opens the file the first time; from then on it is watched. Resolves to whether the keys are the file's current content. */
  async #readFile(): Promise<boolean> {
    const { clock, config } = this.#options;
    if (this.#file !== undefined) {
      await this.#file.check();
      await this.#changing;
      if (this.#file.failed || !this.#file.bytes.equals(this.#bytes)) return false;
      await this.#accept(this.#bytes, true);
      return true;
    }
    const file = new WatchedFile({
      path: fileURLToPath(config.endpoint),
      maxBytes: MAX_JWKS_BYTES,
      clock,
      onChange: (bytes) => {
        this.#changing = this.#acceptChange(bytes);
      },
      onFailure: (error) => this.#onFailure(error),
    });
    try {
      await this.#accept(file.bytes, true);
    } catch (error) {
      file.close();
      throw error;
    }
    if (this.#gone.signal.aborted) file.close();
    else this.#file = file;
    return true;
  }

  /** Never rejects. */
  async #acceptChange(bytes: Buffer): Promise<void> {
    try {
      await this.#accept(bytes, false);
      this.#failures = 0;
    } catch (error) {
      this.#onFailure(error as Error);
    }
  }

  /** Accepts what the source has now, whether fetched or because a file changed; rejects if it isn't a key set. */
  async #accept(bytes: Buffer, fetched: boolean): Promise<void> {
    let keys = this.#keys;
    const changed = keys === undefined || !bytes.equals(this.#bytes);
    if (changed) {
      const reading = ++this.#readings;
      keys = await parseJwks(bytes);
      // A newer set is already being read.
      if (reading !== this.#readings || this.#gone.signal.aborted) return;
      this.#keys = keys;
      this.#bytes = bytes;
    }
    this.#fetchedMs = this.#options.clock.now();
    if (changed) {
      this.#log("info", "keys read");
      this.#options.onChange();
    }
    this.#sought.onKeys((keyId) => keys?.knows(keyId) === true, fetched);
  }

  #onFailure(error: Error): void {
    if (this.#gone.signal.aborted) return;
    this.#failures++;
    const kept = this.#keys === undefined ? "no token is accepted" : "still using the previous ones";
    this.#log("warn", `could not get keys, ${kept}`, { error });
  }

  #log(level: "info" | "warn", message: string, more: Record<string, unknown> = {}): void {
    const { logger, section } = this.#options;
    logger[level](message, { setting: `${section}.jwks.endpoint`, ...more });
  }

  /** Schedules the next fetch at this time only; undefined for none. */
  #startAt(dueMs: number | undefined): void {
    const { clock } = this.#options;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueMs = dueMs ?? Number.POSITIVE_INFINITY;
    if (this.#dueMs === Number.POSITIVE_INFINITY) return;
    const ms = this.#dueMs - clock.now();
    if (ms <= 0) void this.#start();
    else this.#timer = clock.setTimeout(() => void this.#start(), ms);
  }
}
