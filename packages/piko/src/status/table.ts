// Tables for a terminal: aligned, and narrow enough for it if leaving out columns suffices.

import { visibleText } from "../base/visible-text.js";

/** One column. */
export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number;
  /** Left out if the table would be too wide, starting with the last one. */
  readonly optional?: boolean;
}

const GAP = "  ";

/**
 * Formats rows below a line of titles. Numbers are aligned to the right.
 *
 * @param width Infinity for no limit; a table may exceed it if no optional column is left
 */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
): string {
  const cells = rows.map((row) => columns.map(({ value }) => value(row)));
  const widths = columns.map(({ title }, at) =>
    Math.max(title.length, ...cells.map((line) => printable(line[at]).length)),
  );
  const shown = fit(columns, widths, width);
  const isNumber = (at: number): boolean => typeof cells[0]?.[at] === "number";
  const format = (line: readonly (string | number)[]): string =>
    shown
      .map((at) => {
        const text = printable(line[at]);
        return isNumber(at) ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0);
      })
      .join(GAP)
      .trimEnd();
  return [columns.map(({ title }) => title), ...cells].map((line) => `${format(line)}\n`).join("");
}

/** Formats names and values, one pair per line. */
export function formatProperties(properties: Readonly<Record<string, string | number>>): string {
  const width = Math.max(...Object.keys(properties).map((name) => name.length));
  return Object.entries(properties)
    .map(([name, value]) => `${name.padEnd(width)}${GAP}${printable(value)}\n`)
    .join("");
}

/** Indexes of the columns that are shown. */
function fit(columns: readonly Column<never>[], widths: readonly number[], width: number): readonly number[] {
  const shown = columns.map((_, at) => at);
  const total = (): number =>
    shown.reduce((sum, at) => sum + (widths[at] ?? 0), 0) + GAP.length * (shown.length - 1);
  while (total() > width) {
    const at = shown.findLastIndex((at) => columns[at]?.optional === true);
    if (at < 0) break;
    shown.splice(at, 1);
  }
  return shown;
}

/** Names come from other machines: line feeds and escape sequences in them must not have an effect. */
function printable(value: string | number | undefined): string {
  return visibleText(String(value ?? ""));
}
