// Finds the path for an offset in a YAML document, for problems that come with an offset only.

import { type Document, isMap, isScalar, isSeq, Lexer } from "yaml";

/** The YAML path of the setting whose key or value is at an offset; empty if there is none. */
export function pathAt(document: Document, offset: number): string {
  let path = "";
  for (let node: unknown = document.contents; ; ) {
    if (isMap(node)) {
      const pair = node.items.findLast(({ key }) => startOf(key) <= offset);
      if (pair === undefined) return path;
      path = joinPath(path, keyName(pair.key));
      node = startOf(pair.value) <= offset ? pair.value : undefined;
    } else if (isSeq(node)) {
      const at = node.items.findLastIndex((item) => startOf(item) <= offset);
      if (at < 0) return path;
      path = `${path}[${at}]`;
      node = node.items[at];
    } else {
      return path;
    }
  }
}

/** The path of a key in a section. */
export function joinPath(section: string, name: string): string {
  return section === "" ? name : `${section}.${name}`;
}

/** A key as it was written; for a merge key, the parser returns a symbol. */
export function keyName(key: unknown): string {
  return isScalar(key) ? (typeof key.value === "symbol" ? "<<" : String(key.value)) : String(key);
}

function startOf(node: unknown): number {
  return (node as { range?: readonly number[] } | null)?.range?.[0] ?? Infinity;
}

/** Whether an offset is within a comment. */
export function inComment(text: string, offset: number): boolean {
  let start = 0;
  for (const token of new Lexer().lex(text)) {
    if (LEXER_MARKS.has(token)) continue;
    const end = start + token.length;
    if (token.startsWith("#") && start < offset && offset <= end) return true;
    if (start > offset) return false;
    start = end;
  }
  return false;
}

/** Tokens that aren't in the text: start of a document, end of a flow without its bracket, start of a scalar. */
const LEXER_MARKS: ReadonlySet<string> = new Set(["\u0002", "\u0018", "\u001f"]);
