// Where a verifier's keys come from.

import type { KeySet } from "./keys.js";

export interface KeySource {
  /** Undefined while none could ever be had. */
  readonly keys: KeySet | undefined;
  /** Age of the keys in milliseconds, where they come from elsewhere. */
  readonly ageMs: number | undefined;
  /** A token names a key that isn't known: resolves when that is as well known as it will be for a while. */
  refresh(): Promise<void>;
  close(): void;
}
