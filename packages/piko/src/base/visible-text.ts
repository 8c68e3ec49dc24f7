// Makes text from outside safe to show: invisible characters, and those that reorder others (all kinds of line breaks, control
// characters, U+202E and similar ones, zero-width ones), must not change what a line appears to say.

/** Control and format characters, line and paragraph separators. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const ALL_HIDDEN = new RegExp(HIDDEN, "gu");
/** The same, except line feeds. */
const ALL_HIDDEN_IN_LINES = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Whether a text contains such characters. */
export function hasHidden(text: string): boolean {
  return HIDDEN.test(text);
}

/** Replaces each of them with U+FFFD. Line feeds are kept if `lines` is true. */
export function visibleText(text: string, lines = false): string {
  return text.replace(lines ? ALL_HIDDEN_IN_LINES : ALL_HIDDEN, "\ufffd");
}

/** Equivalent JSON with each of them escaped, as in `\u202e`. Line feeds may be between its tokens. */
export function visibleJson(json: string): string {
  if (!HIDDEN.test(json)) return json;
  return json.replace(ALL_HIDDEN_IN_LINES, (character) => [...units(character)].map(escapeUnit).join(""));
}

/** The same for YAML. Strings that contain such characters must be in double quotes. */
export function visibleYaml(yaml: string): string {
  return yaml.replace(ALL_HIDDEN_IN_LINES, (character) => {
    const [unit = 0, second] = units(character);
    if (second === undefined) return escapeUnit(unit);
    return `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`;
  });
}

/** The UTF-16 code units of a character. */
function units(character: string): number[] {
  return Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
