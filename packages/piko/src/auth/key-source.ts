// Where a verifier's keys come from.

import type { KeySet } from "./keys.js";
import type { KeySeeker } from "./sought-keys.js";

export interface KeySource {
  /** Undefined while none could ever be had. */
  readonly keys: KeySet | undefined;
  /** Age of the keys in milliseconds, where they come from elsewhere. */
  readonly ageMs: number | undefined;
  /** Keys are being fetched. */
  readonly fetching: Promise<void> | undefined;
  /** The source was asked for this key a moment ago, and hasn't got it. */
  lacks(keyId: string): boolean;
  /** A token names a key that isn't known: asks the source for it as soon as permitted, and calls `seeker`, once. */
  lookFor(seeker: KeySeeker): void;
  /** Waits no longer. */
  forget(seeker: KeySeeker): void;
  close(): void;
}
