// A sample configuration file: every setting of a program with its default, commented out, below its description.

import type { Field, Section } from "./declaration.js";

const WIDTH = 100;

/**
 * The text of a file. `values` are the settings that aren't commented out, by YAML path (`listeners[].addr`). `use` is the
 * command that the file is for.
 */
export function sampleFile(declared: Section, values: Readonly<Record<string, string>>, use: string): string {
  const head = [
    `# ${use}`,
    "#",
    "# ## describes the setting below it. # shows a setting with its default: uncomment it to change it.",
    "",
  ];
  const text = [...head, ...sectionLines(declared, values, "", 0)].join("\n");
  return `${text.replaceAll(/\n{3,}/g, "\n\n").trimEnd()}\n`;
}

/** @param depth by how many columns the lines will be indented */
function sectionLines(
  { entries }: Section,
  values: Readonly<Record<string, string>>,
  path: string,
  depth: number,
): string[] {
  const lines: string[] = [];
  // Settings first, as in the reference; then sections and lists.
  const own = entries.filter(({ node }) => node.kind === "field");
  for (const { name, node } of [...own, ...entries.filter(({ node }) => node.kind !== "field")]) {
    const childPath = path === "" ? name : `${path}.${name}`;
    if (node.kind === "field") {
      lines.push(...comment(node.description, depth), fieldLine(node, name, values[childPath]), "");
      continue;
    }
    const below = node.kind === "list" ? `${childPath}[]` : childPath;
    const live = Object.keys(values).some((key) => key.startsWith(`${below}.`));
    lines.push(...comment(node.description, depth));
    if (node.kind === "section") {
      const inside = sectionLines(node, values, below, depth + 2);
      lines.push(`${live ? "" : "# "}${name}:`, ...inside.map((line) => indent(line, "  ")), "");
    } else if (live) {
      lines.push(`${name}:`, ...item(sectionLines(node.item, values, below, depth + 4)), "");
    } else lines.push(`# ${name}: []`, "");
  }
  return lines;
}

/** The lines of a list's only item: the dash precedes the first line that isn't a comment. */
function item(lines: readonly string[]): string[] {
  const first = lines.findIndex((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line, index) => indent(line, index === first ? "  - " : "    "));
}

function indent(line: string, by: string): string {
  return line === "" ? "" : `${by}${line}`;
}

function fieldLine(field: Field, name: string, value: string | undefined): string {
  const text = value ?? field.defaultText;
  const shown = field.repeatable ? "[]" : text === "" ? '""' : quoted(text);
  return `${value === undefined ? "# " : ""}${name}: ${shown}`;
}

/** Quoted if YAML requires it, as for addresses such as `:8000`. */
function quoted(text: string): string {
  return /^[\w./-]+(:[\w./-]+)*$/.test(text) ? text : JSON.stringify(text);
}

function comment(text: string, depth: number): string[] {
  const lines: string[] = [];
  let line = "##";
  for (const word of text.split(" ")) {
    if (depth + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = "##";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
