// Reads a YAML file against a declaration: keys become the program's, and unknown keys, duplicates and values of the
// wrong shape become problems with their line. Whether values are right is judged later, together with the flags.

import {
  type Document,
  LineCounter,
  type Node as YamlNode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parseAllDocuments,
} from "yaml";
import type { Entry, Field, Node, Section } from "./declaration.js";

/** Settings as they were written, by the program's keys. */
export interface RawSettings {
  [key: string]: unknown;
}

/** A file that was read: its settings, what is wrong with its form, and where each setting stands. */
export interface YamlFile {
  readonly settings: RawSettings;
  readonly problems: readonly { readonly path: string; readonly line: number; readonly message: string }[];
  /** Lines by YAML path, counted from 1. */
  readonly lines: ReadonlyMap<string, number>;
}

/** Reads the first document of a YAML text. */
export function readYaml(text: string, root: Section): YamlFile {
  const lineCounter = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter, merge: true, prettyErrors: false });
  const document = Array.isArray(parsed) ? parsed[0] : undefined;
  const reader = new YamlReader(document, lineCounter);
  if (document === undefined || (document.contents === null && document.errors.length === 0)) {
    reader.problem("", undefined, "the file is empty");
    return reader;
  }
  for (const error of document.errors) reader.problemAt("", error.pos[0], lowerFirst(error.message));
  if (document.errors.length === 0)
    Object.assign(reader.settings, reader.section(document.contents, root, ""));
  return reader;
}

class YamlReader implements YamlFile {
  readonly settings: RawSettings = {};
  readonly problems: { path: string; line: number; message: string }[] = [];
  readonly lines: Map<string, number> = new Map();
  readonly #document: Document | undefined;
  readonly #lineCounter: LineCounter;

  constructor(document: Document | undefined, lineCounter: LineCounter) {
    this.#document = document;
    this.#lineCounter = lineCounter;
  }

  problem(path: string, node: YamlNode | undefined, message: string): void {
    this.problemAt(path, node?.range?.[0] ?? 0, message);
  }

  problemAt(path: string, offset: number, message: string): void {
    this.problems.push({ path, line: this.#line(offset), message });
  }

  section(node: unknown, declared: Section, path: string): RawSettings | undefined {
    const value = this.#resolve(node);
    if (isNull(value)) return undefined;
    if (!isMap(value)) {
      this.problem(path, value, "must be a section with keys");
      return undefined;
    }
    const settings: RawSettings = {};
    for (const pair of value.items) {
      const key = isScalar(pair.key) ? pair.key : undefined;
      const name = String(key?.value ?? pair.key);
      // The parser gives a merge key's value as a symbol, so that a quoted "<<" stays an ordinary key.
      if (typeof key?.value === "symbol") {
        this.#merge(pair.value, settings, declared, path);
        continue;
      }
      const childPath = path === "" ? name : `${path}.${name}`;
      const entry = declared.entries.find((each) => each.name === name);
      if (entry === undefined) {
        this.problem(childPath, key, `unknown key${suggest(name, declared.entries)}`);
        continue;
      }
      this.lines.set(childPath, this.#line(key?.range?.[0] ?? 0));
      const child = this.#child(pair.value, entry.node, childPath);
      if (child !== undefined) settings[entry.key] = child;
    }
    return settings;
  }

  /** `<<: *anchor`: keys of the map's own win, wherever they stand. */
  #merge(node: unknown, into: RawSettings, declared: Section, path: string): void {
    const value = this.#resolve(node);
    for (const source of isSeq(value) ? value.items : [value]) {
      const merged = this.section(source, declared, path) ?? {};
      for (const [key, setting] of Object.entries(merged)) if (!(key in into)) into[key] = setting;
    }
  }

  #child(node: unknown, declared: Node, path: string): unknown {
    if (declared.kind === "section") return this.section(node, declared, path);
    const value = this.#resolve(node);
    if (isNull(value)) return undefined;
    if (declared.kind === "field") return this.#field(value, declared, path);
    if (!isSeq(value)) {
      this.problem(path, value, "must be a list");
      return undefined;
    }
    return value.items.map((item, index) => {
      const itemPath = `${path}[${index}]`;
      const itemNode = this.#resolve(item);
      this.lines.set(itemPath, this.#line(itemNode?.range?.[0] ?? 0));
      return this.section(itemNode, declared.item, itemPath) ?? {};
    });
  }

  #field(value: YamlNode, declared: Field, path: string): unknown {
    if (isScalar(value)) return scalarValue(value, declared);
    if (isSeq(value) && declared.repeatable) {
      return value.items.map((item) => {
        const itemNode = this.#resolve(item);
        return isScalar(itemNode) ? scalarValue(itemNode, declared) : null;
      });
    }
    this.problem(
      path,
      value,
      `must be a value (${declared.type}), not a ${isSeq(value) ? "list" : "section"}`,
    );
    return undefined;
  }

  #resolve(node: unknown): YamlNode | undefined {
    const resolved: unknown =
      isAlias(node) && this.#document !== undefined ? node.resolve(this.#document) : node;
    return (resolved ?? undefined) as YamlNode | undefined;
  }

  #line(offset: number): number {
    return Math.max(1, this.#lineCounter.linePos(offset).line);
  }
}

function isNull(node: YamlNode | undefined): node is undefined {
  return node === undefined || (isScalar(node) && node.value === null);
}

function scalarValue(scalar: { value: unknown; source?: string | undefined }, declared: Field): unknown {
  return declared.text && typeof scalar.value !== "string"
    ? (scalar.source ?? String(scalar.value))
    : scalar.value;
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** ` (did you mean "x"?)` when a key differs in little: case, dashes, or up to two letters. */
function suggest(name: string, entries: readonly Entry[]): string {
  const near = entries
    .map((entry) => ({ name: entry.name, distance: editDistance(fold(name), fold(entry.name)) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= 2 ? ` (did you mean ${JSON.stringify(near.name)}?)` : "";
}

function fold(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
