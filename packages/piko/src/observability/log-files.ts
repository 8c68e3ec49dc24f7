// Files that logs are written to besides standard error. Each is opened once, however many logs go to it, and again when
// somebody has moved it away and says so (SIGHUP), as logrotate does.

import { closeSync, openSync, write, writeSync } from "node:fs";
import { type LogDevice, LogOutput } from "./log-output.js";

/** Lines tell who asks for what: its owner and group may read them, nobody else. */
const MODE = 0o640;

export class LogFiles {
  readonly #outputs = new Map<string, { readonly device: LogFile; readonly output: LogOutput }>();

  /** The way to a file, which is made if it isn't there. Throws if it can't be opened. */
  open(path: string): LogOutput {
    const known = this.#outputs.get(path);
    if (known !== undefined) return known.output;
    const device = new LogFile(path);
    const output = new LogOutput(device);
    this.#outputs.set(path, { device, output });
    return output;
  }

  /** Opens all files anew. One that can't be goes on as it was, and `onFailure` is told why. Returns the paths of the others. */
  reopen(onFailure: (path: string, error: unknown) => void): readonly string[] {
    const reopened: string[] = [];
    for (const [path, { device }] of this.#outputs) {
      try {
        device.reopen();
        reopened.push(path);
      } catch (error) {
        onFailure(path, error);
      }
    }
    return reopened;
  }

  /** Writes what waits; for a process that is about to end. */
  flushSync(): void {
    for (const { output } of this.#outputs.values()) output.flushSync();
  }
}

class LogFile implements LogDevice {
  readonly #path: string;
  #fd: number;
  /** A write is on its way, to the descriptor that was the file's when it began. */
  #writing = false;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "a", MODE);
  }

  reopen(): void {
    const fd = openSync(this.#path, "a", MODE);
    const old = this.#fd;
    this.#fd = fd;
    // The write closes it otherwise.
    if (!this.#writing) closeSync(old);
  }

  write(
    bytes: Buffer,
    offset: number,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void {
    const fd = this.#fd;
    this.#writing = true;
    write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      this.#writing = false;
      if (fd !== this.#fd) closeSync(fd);
      done(error, written);
    });
  }

  writeSync(bytes: Buffer, offset: number): number {
    return writeSync(this.#fd, bytes, offset, bytes.length - offset, null);
  }
}
