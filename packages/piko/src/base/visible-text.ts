// Makes foreign text safe to show: invisible characters, and those that reorder others (line breaks of all kinds, control
// characters, U+202E and its kind, zero-width ones), must not change what a line seems to say.

/** Control and format characters, line and paragraph separators. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
const ALL_HIDDEN = new RegExp(HIDDEN, "gu");
/** The same without what separates the lines of a text. */
const ALL_HIDDEN_IN_LINES = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Whether a text has such characters. */
export function hasHidden(text: string): boolean {
  return HIDDEN.test(text);
}

/** Each of them replaced by U+FFFD. Line feeds stay if the text has `lines`. */
export function visibleText(text: string, lines = false): string {
  return text.replace(lines ? ALL_HIDDEN_IN_LINES : ALL_HIDDEN, "\ufffd");
}

/** JSON that says the same, with each of them escaped as `\u202e`. Line feeds may stand between its parts. */
export function visibleJson(json: string): string {
  if (!HIDDEN.test(json)) return json;
  return json.replace(ALL_HIDDEN_IN_LINES, (character) => [...units(character)].map(escapeUnit).join(""));
}

/** The same for YAML, in which strings that have such characters stand in double quotes. */
export function visibleYaml(yaml: string): string {
  return yaml.replace(ALL_HIDDEN_IN_LINES, (character) => {
    const [unit = 0, second] = units(character);
    if (second === undefined) return escapeUnit(unit);
    return `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`;
  });
}

/** UTF-16 units of a character. */
function units(character: string): number[] {
  return Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, "0")}`;
}
