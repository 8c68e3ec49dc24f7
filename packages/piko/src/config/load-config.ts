// Brings the file, the flags and the defaults together into one frozen configuration, or one error with everything
// that is wrong. Called by the commands before anything else happens. Flags win over the file.

import { readFileSync } from "node:fs";
import { ConfigError, type ConfigProblem } from "./config-error.js";
import type { Node, Section } from "./declaration.js";
import { expandEnv } from "./expand-env.js";
import { flagOf } from "./flags.js";
import { type RawSettings, type YamlFile, readYaml } from "./load-yaml.js";

/** A setting that the command line gave. */
export interface GivenSetting {
  /** Keys from the root of the configuration; numbers are places in a list. */
  readonly keys: readonly (string | number)[];
  readonly value: unknown;
  /** How the user wrote it: `--proxy.timeout`, or `[addr]` for an argument. */
  readonly flag: string;
}

/** Where settings come from. */
export interface ConfigSources {
  /** Path of the YAML file; empty for none. */
  readonly path: string;
  readonly expandEnv: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly given: readonly GivenSetting[];
  /** Keys of the root whose file settings the command line replaces as a whole. */
  readonly replaces?: readonly string[];
}

/**
 * Loads a configuration.
 *
 * @throws ConfigError with every problem of the file and the flags.
 */
export function loadConfig<T>(declared: Section<T>, sources: ConfigSources): T {
  const file = readFile(declared, sources);
  const problems: ConfigProblem[] = file.problems.map(({ path, line, message }) => ({
    path,
    flag: undefined,
    place: `${sources.path}:${line}`,
    message,
  }));
  const settings = file.settings;
  for (const key of sources.replaces ?? []) delete settings[key];
  const flags = new Map<string, string>();
  for (const { keys, value, flag } of sources.given) {
    assign(settings, keys, value);
    flags.set(keys.join("."), flag);
  }
  const result = declared.schema.safeParse(settings);
  for (const issue of result.error?.issues ?? []) {
    const keys = issue.path.filter((key) => typeof key !== "symbol");
    const { path, flag } = locate(declared, keys);
    const given = flags.get(keys.join("."));
    const line = given === undefined ? findLine(file, path) : undefined;
    // A key of a wrong shape was reported by the reader, and looks absent here.
    if (problems.some((problem) => problem.path === path && path !== "")) continue;
    const place = line === undefined ? undefined : `${sources.path}:${line}`;
    problems.push({ path, flag: given ?? flag, place, message: issue.message });
  }
  if (!result.success || problems.length > 0) throw new ConfigError(inOrder(problems));
  return deepFreeze(result.data);
}

/** From the top of the file to its end, then what the command line gave. */
function inOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const line = ({ place }: ConfigProblem): number =>
    Number(place?.slice(place.lastIndexOf(":") + 1) ?? Infinity);
  return [...problems].sort((a, b) => (line(a) === line(b) ? 0 : line(a) - line(b)));
}

function readFile(declared: Section, sources: ConfigSources): YamlFile {
  if (sources.path === "") return { settings: {}, problems: [], lines: new Map() };
  let text: string;
  try {
    text = readFileSync(sources.path, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `read file: ${sources.path}: ${reason}`;
    throw new ConfigError([{ path: "", flag: "--config.path", place: undefined, message }]);
  }
  return readYaml(sources.expandEnv ? expandEnv(text, sources.env) : text, declared);
}

function assign(settings: RawSettings, keys: readonly (string | number)[], value: unknown): void {
  let target = settings as Record<string | number, unknown>;
  keys.forEach((key, index) => {
    if (index === keys.length - 1) {
      target[key] = value;
      return;
    }
    target[key] ??= typeof keys[index + 1] === "number" ? [] : {};
    target = target[key] as Record<string | number, unknown>;
  });
}

/** The YAML path of a place in the configuration object, and its flag when it has one. */
function locate(
  declared: Section,
  keys: readonly (string | number)[],
): { path: string; flag: string | undefined } {
  let node: Node | undefined = declared;
  let path = "";
  let inList = false;
  for (const key of keys) {
    if (typeof key === "number") {
      path += `[${key}]`;
      if (node?.kind === "list") {
        node = node.item;
        inList = true;
      }
      continue;
    }
    const entry: { name: string; node: Node } | undefined =
      node?.kind === "section" ? node.entries.find((each) => each.key === key) : undefined;
    path += `${path === "" ? "" : "."}${entry?.name ?? key}`;
    node = entry?.node;
  }
  const flag = node?.kind === "field" && !inList ? flagOf(node, path.replace(/\[\d+\]$/, "")) : undefined;
  return { path, flag };
}

/** The line of a setting, or of the nearest section around it that the file has. */
function findLine(file: YamlFile, path: string): number | undefined {
  for (let at = path; at !== ""; at = at.replace(/(^|\.)[^.[]+$|\[\d+\]$/, "")) {
    const line = file.lines.get(at);
    if (line !== undefined) return line;
  }
  return undefined;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const each of Object.values(value)) deepFreeze(each);
  }
  return value;
}
