// The only writer of a log's file descriptor, shared by the logger and the access logs so that lines are never interleaved. Lines
// collect in a batch of limited size, and no one waits for the log's reader; if it is too slow, lines are dropped and counted.

/* oxlint-disable no-restricted-globals -- the log has to be written on the real clock, even if a test replaces its own */

import type { ByteText } from "./byte-text.js";
import { LineBatch } from "./line-batch.js";

/** A batch is written when it has this size, or this long after its first line. */
export const BATCH_BYTES = 65_536;
const BATCH_MS = 100;
/** Lines are dropped while more than this is queued. */
export const MAX_WAITING_BYTES: number = 4 * 1_048_576;
const RETRY_MS = 10;

/** Where batches are written. `done` may be called before `write` returns. */
export interface LogDevice {
  write(
    bytes: Buffer,
    offset: number,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void;
  writeSync(bytes: Buffer, offset: number): number;
}

/** Text that stays at the bottom of a terminal, below all lines. */
export interface LogFooter {
  /** Returns what to write so that these lines (perhaps none) appear above it. */
  around(lines: Buffer): Buffer;
}

const NO_LINES = Buffer.alloc(0);

/** Batches lines and writes them in order. */
export class LogOutput {
  /** Makes the line that says how many lines were dropped; set by the logger. */
  droppedLine: ((count: number) => string) | undefined;
  readonly #device: LogDevice;
  #footer: LogFooter | undefined;
  /** The footer has changed since it was last written. */
  #stale = false;
  /** The footer is to be written one last time, after this many bytes of the queued lines. */
  #leavesAt: number | undefined;
  readonly #batch = new LineBatch();
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #immediate = false;
  #writing: Buffer | undefined;
  #broken = false;
  #idle: (() => void)[] = [];

  constructor(device: LogDevice) {
    this.#device = device;
  }

  /** Adds a line (with its line feed) that may wait to be written; for lines that come with every request. */
  append(line: string): void {
    const text = this.begin();
    if (text === undefined) return;
    text.addUtf8(line);
    this.end();
  }

  /** Starts a line that is added in pieces; `end` must follow at once. Undefined if the line is dropped. */
  begin(): ByteText | undefined {
    const { text } = this.#batch;
    if (text.length <= MAX_WAITING_BYTES) return text;
    this.#dropped += 1;
    return undefined;
  }

  /** Ends the line that `begin` started. */
  end(): void {
    if (this.#batch.text.length >= BATCH_BYTES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), BATCH_MS).unref();
  }

  /** Adds a line that is written in this turn. */
  write(line: string): void {
    this.append(line);
    if (this.#immediate) return;
    this.#immediate = true;
    setImmediate(() => {
      this.#immediate = false;
      this.flush();
    });
  }

  /** Keeps a footer below all lines from now on. */
  setFooter(footer: LogFooter): void {
    this.#footer = footer;
    this.#stale = false;
    this.#leavesAt = undefined;
  }

  /** Writes the footer one last time and leaves it there. Lines logged from now on appear below it. */
  leaveFooter(): void {
    // A batch may be in progress: lines that are queued by now stay above the footer.
    this.#leavesAt = this.#batch.text.length;
    this.refreshFooter();
  }

  /** Drops the footer without writing it: the terminal shows something else in its place. */
  forgetFooter(): void {
    this.#footer = undefined;
  }

  /** Starts to write the footer again. */
  refreshFooter(): void {
    this.#stale = this.#footer !== undefined;
    this.flush();
  }

  /** Starts to write queued lines; does nothing while an earlier batch is being written. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing !== undefined) return;
    const bytes = this.#take();
    if (bytes === undefined) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    this.#writing = bytes;
    this.#send(bytes, 0);
  }

  /** Writes queued lines synchronously; for a process that is about to end. */
  flushSync(): void {
    const bytes = this.#take();
    if (bytes === undefined || this.#broken) return;
    try {
      for (let offset = 0; offset < bytes.length; ) offset += this.#device.writeSync(bytes, offset);
    } catch {
      // There is no one left to report it to. If a pipe is full at the very end, the rest is lost.
    }
  }

  /** Resolves when everything that was added has been written. */
  async drain(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      this.flush();
    });
  }

  #take(): Buffer | undefined {
    if (this.#dropped > 0 && this.droppedLine !== undefined) {
      this.#batch.text.addUtf8(this.droppedLine(this.#dropped));
      this.#dropped = 0;
    }
    const lines = this.#batch.text.length === 0 ? undefined : this.#batch.take();
    if (this.#footer === undefined || (lines === undefined && !this.#stale)) return lines;
    this.#stale = false;
    if (this.#leavesAt === undefined) return this.#footer.around(lines ?? NO_LINES);
    const above = lines?.subarray(0, this.#leavesAt) ?? NO_LINES;
    const below = lines?.subarray(this.#leavesAt) ?? NO_LINES;
    const bytes = Buffer.concat([this.#footer.around(above), below]);
    this.#footer = undefined;
    return bytes;
  }

  #send(bytes: Buffer, offset: number): void {
    if (this.#broken) {
      this.#sent();
      return;
    }
    this.#device.write(bytes, offset, (error, written) => {
      if (error === null) {
        if (offset + written < bytes.length) this.#send(bytes, offset + written);
        else this.#sent();
      } else if (error.code === "EAGAIN") {
        // A non-blocking pipe whose reader is slow.
        setTimeout(() => this.#send(bytes, offset), RETRY_MS);
      } else {
        // Either the reader is gone, or this batch can't be stored (disk full): a log never ends the program.
        this.#broken = error.code === "EPIPE" || error.code === "EBADF";
        this.#sent();
      }
    });
  }

  #sent(): void {
    if (this.#writing !== undefined) this.#batch.giveBack();
    this.#writing = undefined;
    const waiting = this.#batch.text.length;
    if (waiting >= BATCH_BYTES || this.#idle.length > 0) this.flush();
    else if (waiting > 0) this.#timer ??= setTimeout(() => this.flush(), BATCH_MS).unref();
  }
}
