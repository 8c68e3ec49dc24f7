// Revoked tokens, by their `jti` or `sub`, one per line of a watched file.

import type { Clock } from "@piko/tunnel";
import { WatchedFile } from "../net/watched-file.js";
import type { Logger } from "../observability/logger.js";

/** Maximum size of the file: some 400,000 ids. */
const MAX_FILE_BYTES = 16_777_216;

/** The revoked tokens. */
export interface Revoked {
  /** Whether the `jti` or `sub` of a token is revoked; an empty one never is. */
  has(tokenId: string, subject: string): boolean;
  close(): void;
}

/** Nothing is revoked. */
export const NONE_REVOKED: Revoked = { has: () => false, close() {} };

export class RevokedFile implements Revoked {
  readonly #file: WatchedFile;
  #ids: ReadonlySet<string>;

  /** @throws Error that names the setting and the file. */
  constructor(path: string, setting: string, clock: Clock, logger: Logger, onChange: () => void) {
    try {
      this.#file = new WatchedFile({
        path,
        maxBytes: MAX_FILE_BYTES,
        partsAreValid: true,
        clock,
        onChange: (bytes) => {
          this.#ids = readIds(bytes);
          logger.info("revoked tokens read", { setting, ids: this.#ids.size });
          onChange();
        },
        onFailure: (error) =>
          logger.warn("could not read revoked tokens, still using the previous ones", { setting, error }),
      });
    } catch (error) {
      throw new Error(`${setting}: ${(error as Error).message}`, { cause: error });
    }
    this.#ids = readIds(this.#file.bytes);
  }

  has(tokenId: string, subject: string): boolean {
    return this.#ids.has(tokenId) || this.#ids.has(subject);
  }

  close(): void {
    this.#file.close();
  }
}

/** Reads the ids; skips blank lines, so that none is empty. */
function readIds(bytes: Buffer): ReadonlySet<string> {
  const lines = bytes.toString("utf8").split("\n");
  return new Set(lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#")));
}
