// Where a verifier's keys come from.

import type { KeySet } from "./keys.js";
import type { KeySeeker } from "./sought-keys.js";

export interface KeySource {
  /** Undefined until keys were available for the first time. */
  readonly keys: KeySet | undefined;
  /** Age of the keys in milliseconds, if they are fetched from somewhere else. */
  readonly ageMs: number | undefined;
  /** The fetch in progress. */
  readonly fetching: Promise<void> | undefined;
  /** Whether the source was asked for this key recently, and didn't have it. */
  lacks(keyId: string): boolean;
  /** Called when a token names an unknown key: asks the source for it as soon as permitted, and calls `seeker`, once. */
  lookFor(seeker: KeySeeker): void;
  /** Stops waiting: `seeker` isn't called any more. */
  forget(seeker: KeySeeker): void;
  close(): void;
}
