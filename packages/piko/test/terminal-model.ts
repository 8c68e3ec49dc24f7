// A terminal, as far as the agent's screen needs one: rows of text, a cursor, and the sequences that move it and clear text.

/** An output for text that holds the rows as a person sees them. */
export class TerminalModel {
  columns: number;
  readonly #rows: string[] = [""];
  #row = 0;
  #column = 0;

  constructor(columns: number) {
    this.columns = columns;
  }

  /** The rows written so far, without empty ones at the end. */
  get rows(): string[] {
    const last = this.#rows.findLastIndex((row) => row !== "");
    return this.#rows.slice(0, last + 1);
  }

  write(bytes: Buffer): void {
    // oxlint-disable-next-line no-control-regex -- the escape sequences of a terminal
    for (const token of bytes.toString("utf8").match(/\u001b\[\d*[A-Za-z]|[^]/gu) ?? []) this.#take(token);
  }

  #take(token: string): void {
    // oxlint-disable-next-line no-control-regex -- the escape sequences of a terminal
    const [, count = "", command] = /^\u001b\[(\d*)([A-Za-z])$/.exec(token) ?? [];
    if (command === "A") this.#row = Math.max(0, this.#row - Number(count));
    else if (command === "K") this.#clearLine();
    else if (command === "J") this.#clearBelow();
    else if (command === "m") return;
    else if (command !== undefined) throw new Error(`not a sequence that this terminal knows: ${command}`);
    else if (token === "\r") this.#column = 0;
    else if (token === "\n") this.#lineFeed();
    else this.#put(token);
  }

  #clearLine(): void {
    this.#rows[this.#row] = this.#line().slice(0, this.#column);
  }

  #clearBelow(): void {
    this.#clearLine();
    this.#rows.length = this.#row + 1;
  }

  #lineFeed(): void {
    this.#column = 0;
    this.#row += 1;
    this.#rows[this.#row] ??= "";
  }

  #put(character: string): void {
    if (this.#column >= this.columns) this.#lineFeed();
    const line = this.#line().padEnd(this.#column);
    this.#rows[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + 1);
    this.#column += 1;
  }

  #line(): string {
    return this.#rows[this.#row] ?? "";
  }
}
