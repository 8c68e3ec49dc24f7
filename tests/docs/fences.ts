// The fenced blocks of the project's documents, and the commands in them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** One fenced block. */
export interface Fence {
  readonly document: string;
  readonly line: number;
  /** The info string after the opening fence; empty for commands and their output. */
  readonly language: string;
  readonly text: string;
  /** The file name that the preceding paragraph gives, if any: "`service.mjs`:". */
  readonly file: string | undefined;
}

/** The documents for users, relative to the root of the repository. */
export const DOCUMENTS: readonly string[] = [
  "README.md",
  "CONTRIBUTING.md",
  "deploy/helm/piko/README.md",
  "deploy/helm/piko-agent/README.md",
  ...["client", "piko", "tunnel"].map((name) => `packages/${name}/README.md`),
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name.replaceAll("\\", "/")}`)
    .sort(),
];

export function fencesOf(document: string): Fence[] {
  const fences: Fence[] = [];
  let before = "";
  let open: { language: string; line: number; indent: string; lines: string[] } | undefined;
  for (const [at, line] of readFileSync(join(ROOT, document), "utf8").split("\n").entries()) {
    const [, indent = "", language = ""] = /^( *)```(\S*)$/.exec(line) ?? [];
    if (!/^ *```\S*$/.test(line)) {
      if (open !== undefined)
        open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
      else if (line !== "") before = line;
    } else if (open === undefined) {
      open = { language, line: at + 1, indent, lines: [] };
    } else {
      const file = /`([\w.-]+\.\w+)`:$/.exec(before)?.[1];
      fences.push({ document, line: open.line, language: open.language, text: open.lines.join("\n"), file });
      open = undefined;
      before = "";
    }
  }
  if (open !== undefined) throw new Error(`${document}:${open.line}: a fence without an end`);
  return fences;
}

/** Matches a line that begins with a command. A block without a language that has such a line consists of commands. */
const PROGRAMS =
  /^(?:\(?(?:cd|curl|docker|git|head|helm|kubectl|node|npm|npx|openssl|printf|python3|redis-cli|sed|sysctl|until)|piko|[A-Z_]+=\S+) /;

/** The kinds of blocks. */
export type FenceKind = "commands" | "configuration" | "program" | "sample";

export function kindOf({ language, text }: Fence): FenceKind {
  if (language === "js" || language === "ts") return "program";
  if (language === "yaml" || language === "haproxy" || /^(?:listeners|ports):\n/.test(text))
    return "configuration";
  if (language !== "") throw new Error(`a fence of a language that nobody reads: ${language}`);
  // The reference begins with how a command is used.
  if (/^piko .*\[options\]/.test(text)) return "sample";
  return text.split("\n").some((line) => PROGRAMS.test(`${line} `)) ? "commands" : "sample";
}

/** The commands of a block, each on one line. */
export function commandsOf({ text }: Fence): string[] {
  return text
    .replaceAll(/ *\\\n */g, " ")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}
