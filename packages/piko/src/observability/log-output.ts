// The one way to the log's file descriptor, shared by the logger and the access logs so that lines never mix. Lines
// gather in a batch of bounded size, and nobody waits for their reader; when that one is too slow, lines are dropped
// and counted.

/* oxlint-disable no-restricted-globals -- the log has to leave on the real clock, whatever a test does with its own */

import type { ByteText } from "./byte-text.js";
import { LineBatch } from "./line-batch.js";

/** A batch is written when it holds this much, or this time after its first line. */
export const BATCH_BYTES = 65_536;
const BATCH_MS = 100;
/** Lines that would wait behind more than this are dropped. */
export const MAX_WAITING_BYTES: number = 4 * 1_048_576;
const RETRY_MS = 10;

/** Where batches go. `done` may be called before `write` returns. */
export interface LogDevice {
  write(
    bytes: Buffer,
    offset: number,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void;
  writeSync(bytes: Buffer, offset: number): number;
}

/** What stays at the end of a terminal, with all lines above it. */
export interface LogFooter {
  /** What to write so that these lines, none perhaps, come above it. */
  around(lines: Buffer): Buffer;
}

const NO_LINES = Buffer.alloc(0);

/** Batches lines and writes them in order. */
export class LogOutput {
  /** Makes the line that tells how many lines were dropped; set by the logger. */
  droppedLine: ((count: number) => string) | undefined;
  readonly #device: LogDevice;
  #footer: LogFooter | undefined;
  /** The footer has changed since it was written. */
  #stale = false;
  /** It is to be written once more, after so many bytes of the lines that wait. */
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

  /** Adds a line (with its line feed) that may wait for others; for lines that come with every request. */
  append(line: string): void {
    const text = this.begin();
    if (text === undefined) return;
    text.addUtf8(line);
    this.end();
  }

  /** For a line in pieces: where to add them, `end` follows at once. Undefined if the line is dropped. */
  begin(): ByteText | undefined {
    const { text } = this.#batch;
    if (text.length <= MAX_WAITING_BYTES) return text;
    this.#dropped += 1;
    return undefined;
  }

  /** The line is complete. */
  end(): void {
    if (this.#batch.text.length >= BATCH_BYTES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), BATCH_MS).unref();
  }

  /** Adds a line that is written in this turn of the event loop. */
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

  /** Writes the footer a last time, where it stays. What is logged from now on comes below it. */
  leaveFooter(): void {
    // A batch may be on its way: what waits by now stays above the footer.
    this.#leavesAt = this.#batch.text.length;
    this.refreshFooter();
  }

  /** There is no footer any more: the terminal has other things where it was. */
  forgetFooter(): void {
    this.#footer = undefined;
  }

  /** Starts to write the footer anew. */
  refreshFooter(): void {
    this.#stale = this.#footer !== undefined;
    this.flush();
  }

  /** Starts to write what is there; does nothing while an earlier batch is on its way. */
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

  /** Writes what is there before it returns; for a process that is about to end. */
  flushSync(): void {
    const bytes = this.#take();
    if (bytes === undefined || this.#broken) return;
    try {
      for (let offset = 0; offset < bytes.length; ) offset += this.#device.writeSync(bytes, offset);
    } catch {
      // Nobody is left to tell; a full pipe at the very end loses the rest.
    }
  }

  /** Resolves when everything that was added is written. */
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
        // A pipe in non-blocking mode whose reader is slow.
        setTimeout(() => this.#send(bytes, offset), RETRY_MS);
      } else {
        // The reader is gone for good, or this batch can't be stored (a full disk): a log never ends the program.
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
