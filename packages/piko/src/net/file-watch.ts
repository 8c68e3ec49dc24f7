// Notices that a file has changed by checking it periodically: there are no notifications for swapped symlinks (Kubernetes) or on
// network file systems.

import { stat } from "node:fs/promises";
import type { Clock, Timer } from "@piko/tunnel";

/** Time between two checks; each is one system call. */
const CHECK_INTERVAL_MS = 1_000;

export interface FileWatchOptions {
  readonly path: string;
  readonly clock: Clock;
  /** Called when the file was replaced, has different content, or exists again. Its removal isn't reported. */
  readonly onChange: () => void;
}

export class FileWatch {
  readonly #options: FileWatchOptions;
  /** Identifies its last version; undefined before the first check. */
  #version: string | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: FileWatchOptions) {
    this.#options = options;
    void this.#check();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #check(): Promise<void> {
    const { clock, onChange, path } = this.#options;
    const version = await findVersion(path);
    if (this.#closed) return;
    if (version !== undefined && version !== this.#version) {
      const first = this.#version === undefined;
      this.#version = version;
      if (!first) onChange();
    }
    // `onChange` may have closed the watch.
    if (!this.#closed) this.#timer = clock.setTimeout(() => void this.#check(), CHECK_INTERVAL_MS);
  }
}

async function findVersion(path: string): Promise<string | undefined> {
  try {
    const { ctimeNs, dev, ino, mtimeNs, size } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch {
    return undefined;
  }
}
