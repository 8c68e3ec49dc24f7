// An open file descriptor as the device of a log. What can't make anybody wait for long is written at once: a write that a
// thread of libuv does costs twice as much CPU time as all the rest of an access log (measured).

import { closeSync, fstatSync, write, writeSync } from "node:fs";
import type { LogDevice } from "./log-output.js";

/** A regular file takes bytes into memory, unless its disk is behind; after a write of this length others are done aside. */
const SLOW_MS = 5;
/** For so long. */
const ASIDE_MS = 10_000;

type Done = (error: NodeJS.ErrnoException | null, written: number) => void;

export class FileDevice implements LogDevice {
  #fd: number;
  #regular: boolean;
  /** Writes are done aside until then; on the scale of process.hrtime. */
  #asideUntilMs = 0;
  /** A write is on its way aside, to the descriptor that was there when it began. */
  #writing = false;
  readonly #write: typeof writeSync;

  /** `writeNow`: for tests. */
  constructor(fd: number, writeNow: typeof writeSync = writeSync) {
    this.#fd = fd;
    this.#regular = isRegular(fd);
    this.#write = writeNow;
  }

  /** Goes on with another descriptor, and closes the one before. */
  replace(fd: number): void {
    const old = this.#fd;
    this.#fd = fd;
    this.#regular = isRegular(fd);
    // The write closes it otherwise.
    if (!this.#writing) closeSync(old);
  }

  write(bytes: Buffer, offset: number, done: Done): void {
    if (this.#regular && nowMs() >= this.#asideUntilMs) this.#writeNow(bytes, offset, done);
    else this.#writeAside(bytes, offset, done);
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
    if (toMs - fromMs > SLOW_MS) this.#asideUntilMs = toMs + ASIDE_MS;
    done(null, written);
  }

  #writeAside(bytes: Buffer, offset: number, done: Done): void {
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
    // Closed by whoever has started us: the first write says so.
    return false;
  }
}

/** Not the programs' clock, which leaves out the time in which the process stands still, as it does in such a write. */
function nowMs(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1_000 + nanos / 1e6;
}
