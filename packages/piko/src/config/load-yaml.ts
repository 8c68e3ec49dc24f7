// Reads a YAML file against a declaration and converts its keys to the program's. Unknown and repeated keys, values of the wrong
// shape, and everything that the parser would leave undefined (an alias without its anchor, a key without its value, an unknown
// tag) become problems with a position. Values are checked later, together with the flags.

import {
  type Alias,
  type Document,
  LineCounter,
  type Node as YamlNode,
  type Pair,
  type YAMLMap,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  parseAllDocuments,
  visit,
} from "yaml";
import type { Field, List, Node, Section } from "./declaration.js";
import type { ExpandedText } from "./expand-env.js";
import { suggestName } from "./suggest-name.js";
import { inComment, joinPath, keyName, pathAt } from "./yaml-path.js";

/** Settings as written, with the program's keys. */
export interface RawSettings {
  [key: string]: unknown;
}

/** A position in a file; line and column count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** The result of reading a file: its settings, its problems, and the position of each setting. */
export interface YamlFile {
  readonly settings: RawSettings;
  readonly problems: readonly { readonly path: string; readonly place: Place; readonly message: string }[];
  /** By YAML path: the position of a value, or of a section's key. */
  readonly places: ReadonlyMap<string, Place>;
}

/** Maximum aliases that are followed in one file; nested merges multiply them. */
const MAX_ALIASES = 10_000;

/** Tags that change nothing, or choose between the types of value that settings have. */
const TAGS: ReadonlySet<string> = new Set([
  "!",
  ...["str", "int", "float", "bool", "null", "map", "seq", "merge"].map(
    (kind) => `tag:yaml.org,2002:${kind}`,
  ),
]);

/** Reads a YAML text, which must contain one document. */
export function readYaml(source: string, expanded: ExpandedText, root: Section): YamlFile {
  const parsed = parseAllDocuments(expanded.text, { merge: true, prettyErrors: false });
  const [document, ...others]: Document[] = Array.isArray(parsed) ? parsed : [];
  const reader = new YamlReader(source, expanded);
  const other = others.find((each) => !isEmpty(each));
  if (other !== undefined) {
    const offset = (other.contents as YamlNode | null)?.range?.[0] ?? 0;
    reader.problemAt("", offset, "only one document is read, and this is a second one");
  }
  reader.addEnvProblems(document);
  if (document !== undefined && !isEmpty(document)) reader.read(document, root);
  else if (reader.problems.length === 0) reader.problemAt("", 0, "the file is empty");
  return reader;
}

function isEmpty({ contents, errors }: Document): boolean {
  return errors.length === 0 && (contents === null || (isScalar(contents) && isBlank(contents)));
}

/** Whether nothing was written; `null` and `~` are something. */
function isBlank(node: { value: unknown; source?: string | undefined }): boolean {
  return node.value === null && (node.source ?? "") === "";
}

class YamlReader implements YamlFile {
  readonly settings: RawSettings = {};
  readonly problems: { path: string; place: Place; message: string }[] = [];
  readonly places: Map<string, Place> = new Map();
  readonly #expanded: ExpandedText;
  readonly #lines = new LineCounter();
  /** What aliases refer to, if there is an anchor before them. */
  readonly #targets = new Map<Alias, YamlNode>();
  /** The nodes being read, from the root down: an alias to one of them would be an infinite loop. */
  readonly #open = new Set<YamlNode>();
  #aliases = 0;

  constructor(source: string, expanded: ExpandedText) {
    this.#expanded = expanded;
    this.#lines.addNewLine(0);
    for (const { index } of source.matchAll(/\n/g)) this.#lines.addNewLine(index + 1);
  }

  addEnvProblems(document: Document | undefined): void {
    const { problems, text } = this.#expanded;
    for (const { message, offset, sourceOffset } of problems) {
      if (inComment(text, offset)) continue;
      const path = document === undefined ? "" : pathAt(document, offset);
      this.problems.push({ path, place: this.#sourcePlace(sourceOffset), message });
    }
  }

  read(document: Document, root: Section): void {
    const anchors = new Map<string, YamlNode>();
    visit(document, {
      Node: (_, node) => {
        const target = isAlias(node) ? anchors.get(node.source) : undefined;
        if (isAlias(node) && target !== undefined) this.#targets.set(node, target);
        else if (!isAlias(node) && node.anchor !== undefined) anchors.set(node.anchor, node);
      },
    });
    for (const { message, pos } of [...document.errors, ...document.warnings]) {
      this.problemAt(pathAt(document, pos[0]), pos[0], lowerFirst(message));
    }
    if (document.errors.length === 0) {
      Object.assign(this.settings, this.#section(document.contents, root, ""));
    }
  }

  problemAt(path: string, offset: number, message: string): void {
    const place = this.#place(offset);
    // Only the first problem of a value is reported: for example an empty variable, not the missing value that results from it.
    const reported = (each: { path: string; place: Place }): boolean =>
      (each.path === path && path !== "") ||
      (each.place.line === place.line && each.place.column === place.column);
    if (!this.problems.some(reported)) this.problems.push({ path, place, message });
  }

  #problem(path: string, node: YamlNode | undefined, message: string): void {
    this.problemAt(path, node?.range?.[0] ?? 0, message);
  }

  #section(node: unknown, declared: Section, path: string): RawSettings | undefined {
    const value = this.#resolve(node, path);
    if (value === undefined || isNull(value)) return undefined;
    if (!isMap(value)) {
      this.#problem(path, value, "must be a section with keys");
      return undefined;
    }
    const settings: RawSettings = {};
    this.#map(value, declared, path, settings, new Set());
    return settings;
  }

  /** Reads a map, except keys in `seen`: a map's own keys take precedence over merged ones, whatever their order. */
  #map(map: YAMLMap, declared: Section, path: string, into: RawSettings, seen: Set<string>): void {
    this.#open.add(map);
    const merges: Pair[] = [];
    for (const pair of map.items) {
      const name = keyName(pair.key);
      // If it were quoted, it would be an ordinary key, and unknown.
      if (isScalar(pair.key) && typeof pair.key.value === "symbol") {
        merges.push(pair);
      } else if (!seen.has(name)) {
        seen.add(name);
        this.#pair(pair, name, declared, path, into);
      }
    }
    for (const { key, value } of merges) this.#merge(value ?? key, declared, path, into, seen);
    this.#open.delete(map);
  }

  #pair(pair: Pair, name: string, declared: Section, path: string, into: RawSettings): void {
    const key = isNode(pair.key) ? pair.key : undefined;
    const childPath = joinPath(path, name);
    const entry = declared.entries.find((each) => each.name === name);
    if (entry === undefined) {
      const known = declared.entries.map((each) => each.name);
      this.#problem(childPath, key, `unknown key${suggestName(name, known)}`);
      return;
    }
    const value = isNode(pair.value) ? pair.value : undefined;
    const at = entry.node.kind === "field" && value !== undefined ? value : key;
    this.places.set(childPath, this.#place(at?.range?.[0] ?? 0));
    const child = this.#child(value, entry.node, childPath, key);
    if (child !== undefined) into[entry.key] = child;
  }

  /** `<<: *anchor`, or a list of anchors, of which the first takes precedence. */
  #merge(node: unknown, declared: Section, path: string, into: RawSettings, seen: Set<string>): void {
    const mergePath = joinPath(path, "<<");
    const value = this.#resolve(node, mergePath);
    if (value === undefined) return;
    for (const source of isSeq(value) ? value.items : [node]) {
      const map = this.#resolve(source, mergePath);
      if (map === undefined) continue;
      if (isMap(map)) this.#map(map, declared, path, into, seen);
      else this.#problem(mergePath, source as YamlNode, "must be a section or a list of sections");
    }
  }

  #child(node: YamlNode | undefined, declared: Node, path: string, key: YamlNode | undefined): unknown {
    if (declared.kind === "section") return this.#section(node, declared, path);
    const value = node === undefined ? undefined : this.#resolve(node, path);
    if (node !== undefined && value === undefined) return undefined;
    if (value === undefined || isNull(value)) {
      if (!this.#isLeftEmpty(key)) this.#problem(path, node?.range ? node : key, NO_VALUE);
      return undefined;
    }
    return declared.kind === "field" ? this.#field(value, declared, path) : this.#list(value, declared, path);
  }

  #list(value: YamlNode, declared: List, path: string): unknown {
    if (!isSeq(value)) {
      this.#problem(path, value, "must be a list");
      return undefined;
    }
    this.#open.add(value);
    const items = value.items.map((item, index) => {
      const itemPath = `${path}[${index}]`;
      this.places.set(itemPath, this.#place((item as YamlNode).range?.[0] ?? 0));
      return this.#section(item, declared.item, itemPath) ?? {};
    });
    this.#open.delete(value);
    return items;
  }

  #field(value: YamlNode, declared: Field, path: string): unknown {
    if (isScalar(value)) return scalarValue(value, declared);
    if (isSeq(value) && declared.repeatable) {
      return value.items.map((item, index) => this.#item(item, declared, `${path}[${index}]`));
    }
    const shape = isSeq(value) ? "list" : "section";
    this.#problem(path, value, `must be a value (${declared.type}), not a ${shape}`);
    return undefined;
  }

  #item(item: unknown, declared: Field, path: string): unknown {
    const value = this.#resolve(item, path);
    if (value === undefined) return "";
    this.places.set(path, this.#place((item as YamlNode).range?.[0] ?? 0));
    if (!isScalar(value)) {
      this.#problem(path, item as YamlNode, "must be a string");
      return "";
    }
    if (isNull(value)) this.#problem(path, item as YamlNode, NO_VALUE);
    return isNull(value) ? "" : scalarValue(value, declared);
  }

  /** The value of a node; undefined if there is none, which is reported as a problem unless the node is missing too. */
  #resolve(node: unknown, path: string): YamlNode | undefined {
    if (!isNode(node)) return undefined;
    const value = isAlias(node) ? this.#follow(node, path) : node;
    const tag = value?.tag;
    if (value === undefined || tag === undefined || TAGS.has(tag)) return value;
    this.#problem(path, node, `tag ${tag} isn't supported`);
    return undefined;
  }

  #follow(alias: Alias, path: string): YamlNode | undefined {
    this.#aliases += 1;
    if (this.#aliases > MAX_ALIASES) {
      this.#problem(path, alias, `more than ${MAX_ALIASES} aliases`);
      return undefined;
    }
    const { source } = alias;
    const value = this.#targets.get(alias);
    if (value === undefined) {
      this.#problem(path, alias, `alias *${source} has no anchor &${source} before it`);
    } else if (this.#open.has(value)) {
      this.#problem(path, alias, `alias *${source} is part of the value that it refers to`);
    } else {
      return value;
    }
    return undefined;
  }

  /** Whether `${NAME:}` is in the place of a key's value, which is then empty on purpose. */
  #isLeftEmpty(key: YamlNode | undefined): boolean {
    const end = key?.range?.[1] ?? 0;
    const { empties, text } = this.#expanded;
    return empties.some((offset) => offset >= end && /^\s*:\s*$/.test(text.slice(end, offset)));
  }

  #place(offset: number): Place {
    return this.#sourcePlace(this.#expanded.sourceOffset(offset));
  }

  #sourcePlace(offset: number): Place {
    const { col, line } = this.#lines.linePos(offset);
    return { line, column: col };
  }
}

const NO_VALUE = "has no value: leave the key out for its default";

function isNull(node: YamlNode): boolean {
  return isScalar(node) && node.value === null;
}

function scalarValue(scalar: { value: unknown; source?: string | undefined }, declared: Field): unknown {
  return declared.text && typeof scalar.value !== "string"
    ? (scalar.source ?? String(scalar.value))
    : scalar.value;
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}
