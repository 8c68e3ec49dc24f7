// A small file that is read again when it has changed: keys, lists, parts of the configuration. It is checked every second,
// because the system's file watches follow neither symbolic links (which Kubernetes swaps) nor network file systems.

import { readFileSync, statSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import type { Clock, Timer } from "@piko/tunnel";

const INTERVAL_MS = 1_000;

export interface WatchedFileOptions {
  readonly path: string;
  readonly maxBytes: number;
  /**
   * A part of a valid content is valid, too: a list, for example. So a changed file is only read when it stayed the same from one
   * check to the next. Otherwise, a file that is being written could count. By default, it is read at once.
   */
  readonly partsAreValid?: boolean;
  readonly clock: Clock;
  /** The content of the file has changed. */
  readonly onChange: (bytes: Buffer) => void;
  /** The file can't be read any more. Called once, until it can be read again. The last content stays in use. */
  readonly onFailure: (error: Error) => void;
}

export class WatchedFile {
  readonly #options: WatchedFileOptions;
  #bytes: Buffer;
  /** Identifies the version of the file; changes when the file is written. */
  #version = "";
  /** The version at the last check. */
  #lastVersion = "";
  #timer: Timer | undefined = undefined;
  #failed = false;
  #closed = false;

  /**
   * Reads the file, and watches it from then on.
   *
   * @throws Error that names the file.
   */
  constructor(options: WatchedFileOptions) {
    this.#options = options;
    const { maxBytes, path } = options;
    try {
      this.#bytes = readFileSync(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
      throw new Error(`can't read ${path} (${code})`, { cause: error });
    }
    if (this.#bytes.length > maxBytes) throw new Error(tooLarge(path, maxBytes));
    // A pipe, such as `<(...)` of a shell, can be read only once; a second read would wait forever.
    if (statSync(path).isFile()) this.#watch();
  }

  /** The content of the file when it was last read. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Whether the last check failed to read the file. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Checks now whether the file has changed. Never rejects. */
  async check(): Promise<void> {
    const { onChange, onFailure, partsAreValid = false, path } = this.#options;
    if (this.#timer === undefined) return;
    try {
      const { ctimeNs, ino, mtimeNs, size } = await stat(path, { bigint: true });
      const version = `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
      if (version === this.#version && !this.#failed) return;
      const stayed = version === this.#lastVersion;
      this.#lastVersion = version;
      if (partsAreValid && !stayed) return;
      const bytes = await this.#read();
      this.#version = version;
      this.#failed = false;
      if (this.#closed || bytes.equals(this.#bytes)) return;
      this.#bytes = bytes;
      onChange(bytes);
    } catch (error) {
      if (this.#failed || this.#closed) return;
      this.#failed = true;
      onFailure(error as Error);
    }
  }

  /** Stops watching. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #watch(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.setTimeout(() => {
      void this.check().then(() => this.#watch());
    }, INTERVAL_MS);
  }

  async #read(): Promise<Buffer> {
    const { maxBytes, path } = this.#options;
    let file: FileHandle | undefined;
    try {
      file = await open(path, "r");
      const buffer = Buffer.allocUnsafe(Math.min(maxBytes, (await file.stat()).size) + 1);
      let length = 0;
      while (length < buffer.length) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length);
        if (bytesRead === 0) return buffer.subarray(0, length);
        length += bytesRead;
      }
      throw new Error(length > maxBytes ? tooLarge(path, maxBytes) : `${path} grows while it is read`);
    } finally {
      await file?.close();
    }
  }
}

function tooLarge(path: string, maxBytes: number): string {
  return `${path} is too large: must be at most ${maxBytes} bytes`;
}
