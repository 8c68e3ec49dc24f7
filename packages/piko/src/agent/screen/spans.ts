// Lines of a terminal, assembled from pieces with styles and cut to its width.

const ESCAPE = "\u001b[";
const RESET = `${ESCAPE}0m`;
const STYLES: Readonly<Record<Style, string>> = {
  bold: `${ESCAPE}1m`,
  dim: `${ESCAPE}2m`,
  red: `${ESCAPE}31m`,
  green: `${ESCAPE}32m`,
  yellow: `${ESCAPE}33m`,
  cyan: `${ESCAPE}36m`,
};
const CUT = "…";

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** A piece of a line. */
export type Span = readonly [text: string, style?: Style];

/** A line of at most `columns` columns; a longer one ends in an ellipsis. Without `color`, styles are ignored. */
export function fitLine(spans: readonly Span[], columns: number, color: boolean): string {
  let line = "";
  let left = columns;
  const total = spans.reduce((sum, [text]) => sum + widthOf(text), 0);
  // If all of it fits, no space is reserved for the ellipsis.
  if (total > columns) left -= widthOf(CUT);
  for (const [text, style] of spans) {
    const shown = total > columns ? takeColumns(text, left) : text;
    left -= widthOf(shown);
    if (shown !== "") line += color && style !== undefined ? `${STYLES[style]}${shown}${RESET}` : shown;
    if (shown.length < text.length) return columns < widthOf(CUT) ? "" : line + CUT;
  }
  return line;
}

/** Number of columns of a line, without its styles. */
export function lineWidth(line: string): number {
  // oxlint-disable-next-line no-control-regex -- the escape sequences of styles
  return widthOf(line.replaceAll(/\u001b\[\d+m/g, ""));
}

/** Number of columns of a text: two for each character that isn't ASCII, which is the maximum. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += columnsOf(character);
  return width;
}

function columnsOf(character: string): number {
  if (character === CUT) return 1;
  return character >= " " && character <= "~" ? 1 : 2;
}

function takeColumns(text: string, columns: number): string {
  let taken = "";
  let left = columns;
  for (const character of text) {
    left -= columnsOf(character);
    if (left < 0) break;
    taken += character;
  }
  return taken;
}
