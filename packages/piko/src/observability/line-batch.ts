// Log lines that are queued, in one buffer.

import { ByteText } from "./byte-text.js";

/** How much memory is kept for the next batch. */
const KEPT_BYTES = 128 * 1024;

export class LineBatch {
  /** The queued lines; new ones are added to it. */
  text: ByteText = new ByteText(KEPT_BYTES);
  #spare: ByteText | undefined = undefined;
  #taken: ByteText | undefined = undefined;

  /** Takes all queued lines; `giveBack` follows when they have been written. */
  take(): Buffer {
    const { text } = this;
    this.#taken = text;
    this.text = this.#spare ?? new ByteText(KEPT_BYTES);
    this.#spare = undefined;
    return text.bytes.subarray(0, text.length);
  }

  /** Makes the memory of the batch that was taken available again. */
  giveBack(): void {
    if (this.#taken === undefined) return;
    this.#taken.clear(KEPT_BYTES);
    this.#spare = this.#taken;
    this.#taken = undefined;
  }
}
