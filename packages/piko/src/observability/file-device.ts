// An open file descriptor as the device of a log. A write that can't block for long is synchronous: an asynchronous one, on a
// thread of libuv, costs twice as much CPU time as everything else in an access log (measured).

import { closeSync, fstatSync, write, writeSync } from "node:fs";
import type { LogDevice } from "./log-output.js";

/**
 * A write to a regular file only fills the page cache, unless the disk can't keep up. If a write takes longer, the next ones are
 * asynchronous.
 */
const SLOW_MS = 5;
/** How long writes are asynchronous after that. */
const ASYNC_MS = 10_000;

type Done = (error: NodeJS.ErrnoException | null, written: number) => void;

export class FileDevice implements LogDevice {
  #fd: number;
  #regular: boolean;
  /** Writes are asynchronous until this time, on the scale of process.hrtime. */
  #asyncUntilMs = 0;
  /** An asynchronous write is in progress, to the descriptor that was current when it began. */
  #writing = false;
  readonly #write: typeof writeSync;

  /** @param writeNow for tests */
  constructor(fd: number, writeNow: typeof writeSync = writeSync) {
    this.#fd = fd;
    this.#regular = isRegular(fd);
    this.#write = writeNow;
  }

  /** Continues with another descriptor, and closes the previous one. */
  replace(fd: number): void {
    const old = this.#fd;
    this.#fd = fd;
    this.#regular = isRegular(fd);
    // Otherwise the write in progress closes it.
    if (!this.#writing) closeSync(old);
  }

  write(bytes: Buffer, offset: number, done: Done): void {
    if (this.#regular && nowMs() >= this.#asyncUntilMs) this.#writeNow(bytes, offset, done);
    else this.#writeAsync(bytes, offset, done);
  }

  writeSync(bytes: Buffer, offset: number): number {
    return this.#write(this.#fd, bytes, offset, bytes.length - offset, null);
  }

  #writeNow(bytes: Buffer, offset: number, done: Done): void {
    const fromMs = nowMs();
    let written = 0;
    try {
      written = this.writeSync(bytes, offset);
    } catch (error) {
      done(error as NodeJS.ErrnoException, 0);
      return;
    }
    const toMs = nowMs();
    if (toMs - fromMs > SLOW_MS) this.#asyncUntilMs = toMs + ASYNC_MS;
    done(null, written);
  }

  #writeAsync(bytes: Buffer, offset: number, done: Done): void {
    const fd = this.#fd;
    this.#writing = true;
    write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      this.#writing = false;
      if (fd !== this.#fd) closeSync(fd);
      done(error, written);
    });
  }
}

function isRegular(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    // Closed by the program that started this one: the first write reports it.
    return false;
  }
}

/** Not the program's clock, which leaves out times in which the process stood still, as it does during such a write. */
function nowMs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1_000 + nanos / 1e6;
}
