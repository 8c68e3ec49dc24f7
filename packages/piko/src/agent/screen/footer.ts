// Draws lines at the end of a terminal, over those that it has drawn before, and log lines above them.

import type { LogFooter } from "../../observability/log-output.js";
import { lineWidth } from "./spans.js";

const ESCAPE = "\u001b[";
const CLEAR_LINE = `${ESCAPE}K`;
const CLEAR_BELOW = `${ESCAPE}J`;

export class Footer implements LogFooter {
  #lines: readonly string[] = [];
  /** What is on the screen, above the cursor. */
  #drawn: readonly string[] = [];
  #drawnRows = 0;

  /** What to draw next; each line fits the terminal. True if it is other than before. */
  set(lines: readonly string[]): boolean {
    const same = lines.length === this.#lines.length && lines.every((line, at) => line === this.#lines[at]);
    this.#lines = lines;
    return !same;
  }

  /** The terminal has another width: lines that are too long for it take several rows by now. */
  resized(columns: number): void {
    this.#drawnRows = this.#drawn.reduce(
      (rows, line) => rows + Math.max(1, Math.ceil(lineWidth(line) / columns)),
      0,
    );
  }

  /** What was drawn isn't above the cursor any more. */
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
