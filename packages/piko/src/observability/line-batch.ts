// Log lines that wait to be written, in one buffer.

import { ByteText } from "./byte-text.js";

/** Memory that is kept for the next batch. */
const KEPT_BYTES = 128 * 1024;

export class LineBatch {
  /** What waits; lines are added to it. */
  text: ByteText = new ByteText(KEPT_BYTES);
  #spare: ByteText | undefined = undefined;
  #taken: ByteText | undefined = undefined;

  /** Takes out all that waits; `giveBack` follows when it is written. */
  take(): Buffer {
    const { text } = this;
    this.#taken = text;
    this.text = this.#spare ?? new ByteText(KEPT_BYTES);
    this.#spare = undefined;
    return text.bytes.subarray(0, text.length);
  }

  /** The memory of the batch that was taken out is free again. */
  giveBack(): void {
    if (this.#taken === undefined) return;
    this.#taken.clear(KEPT_BYTES);
    this.#spare = this.#taken;
    this.#taken = undefined;
  }
}
