// Draws lines at the bottom of a terminal, over those drawn before, and prints log lines above them.

import type { LogFooter } from "../../observability/log-output.js";
import { lineWidth } from "./spans.js";

const ESCAPE = "\u001b[";
const CLEAR_LINE = `${ESCAPE}K`;
const CLEAR_BELOW = `${ESCAPE}J`;

export class Footer implements LogFooter {
  #lines: readonly string[] = [];
  /** The lines on the screen, above the cursor. */
  #drawn: readonly string[] = [];
  #drawnRows = 0;

  /** Sets the lines to draw next; each must fit the terminal. Returns whether they have changed. */
  set(lines: readonly string[]): boolean {
    const same = lines.length === this.#lines.length && lines.every((line, at) => line === this.#lines[at]);
    this.#lines = lines;
    return !same;
  }

  /** The width of the terminal has changed: lines that are too long for it now occupy several rows. */
  resized(columns: number): void {
    this.#drawnRows = this.#drawn.reduce(
      (rows, line) => rows + Math.max(1, Math.ceil(lineWidth(line) / columns)),
      0,
    );
  }

  /** The drawn lines are no longer above the cursor. */
  forget(): void {
    this.#drawn = [];
    this.#drawnRows = 0;
  }

  around(logged: Buffer): Buffer {
    const back = this.#drawnRows === 0 ? "\r" : `\r${ESCAPE}${this.#drawnRows}A`;
    const drawn = this.#lines.map((line) => `${line}${CLEAR_LINE}\n`).join("");
    this.#drawn = this.#lines;
    this.#drawnRows = this.#lines.length;
    const before = Buffer.from(logged.length === 0 ? back : back + CLEAR_BELOW);
    return Buffer.concat([before, logged, Buffer.from(drawn + CLEAR_BELOW)]);
  }
}
