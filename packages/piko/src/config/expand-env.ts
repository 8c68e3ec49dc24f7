// Environment variables in configuration files (`--config.expand-env`). They are expanded in the raw text, comments included,
// before it is parsed as YAML.

// After the dollar sign: a name in braces, an opening brace without a closing one, a special name of one character, or a name.
const REFERENCE = /\$(?:\{([^}]*)\}|(\{)|([*#$@!?\-0-9])|([A-Za-z0-9_]+))?/g;

/** A file's text after expansion. */
export interface ExpandedText {
  readonly text: string;
  /** References without a value. */
  readonly problems: readonly EnvProblem[];
  /** Offsets in `text` where an empty default was inserted: `${NAME:}`. */
  readonly empties: readonly number[];
  /** The offset in the file for one in `text`: of the character itself, or of the reference that was replaced. */
  readonly sourceOffset: (offset: number) => number;
}

/** A reference without a value: its offset in the text and in the file. */
export interface EnvProblem {
  readonly offset: number;
  readonly sourceOffset: number;
  readonly message: string;
}

/** A text without anything to expand. */
export function verbatim(text: string): ExpandedText {
  return { text, problems: [], empties: [], sourceOffset: (offset) => offset };
}

/**
 * Replaces `$NAME`, `${NAME}` and `${NAME:default}`. The default, which may be empty, is used if the variable is unset or empty;
 * without a default, that is a problem. `$$` is a literal dollar sign. A dollar sign before any other character is kept.
 */
export function expandEnv(source: string, env: Readonly<Record<string, string | undefined>>): ExpandedText {
  const problems: EnvProblem[] = [];
  const empties: number[] = [];
  const pieces: Piece[] = [];
  let text = "";
  let end = 0;
  for (const match of source.matchAll(REFERENCE)) {
    text += source.slice(end, match.index);
    const value = expand(match, env);
    const put = typeof value === "string" ? value : "";
    if (typeof value !== "string") {
      problems.push({ offset: text.length, sourceOffset: match.index, message: value.problem });
    } else if (put === "") {
      empties.push(text.length);
    }
    end = match.index + match[0].length;
    pieces.push({ start: text.length, end: text.length + put.length, source: match.index, sourceEnd: end });
    text += put;
  }
  text += source.slice(end);
  return { text, problems, empties, sourceOffset: (offset) => originOf(pieces, offset) };
}

/** Inserted text: its range in the expanded text, and the range of its reference in the file. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly source: number;
  readonly sourceEnd: number;
}

function originOf(pieces: readonly Piece[], offset: number): number {
  const piece = pieces.findLast(({ start }) => start <= offset);
  if (piece === undefined) return offset;
  return offset < piece.end ? piece.source : offset - piece.end + piece.sourceEnd;
}

function expand(
  [match, braced, open, special, plain]: readonly (string | undefined)[],
  env: Readonly<Record<string, string | undefined>>,
): string | { problem: string } {
  if (special === "$") return "$";
  if (open !== undefined) return { problem: '"${" has no "}"' };
  if (braced !== undefined) {
    const colon = braced.indexOf(":");
    if (colon >= 0) return env[braced.slice(0, colon)] || braced.slice(colon + 1);
  }
  const name = braced ?? special ?? plain;
  if (name === undefined) return match ?? "";
  if (name === "") return { problem: '"${}" has no name' };
  const value = env[name];
  if (value !== undefined && value !== "") return value;
  const is = value === undefined ? "isn't set" : "is empty";
  return { problem: `environment variable ${name} ${is} (\${${name}:} allows that)` };
}
