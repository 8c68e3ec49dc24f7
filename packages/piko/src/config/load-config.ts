// Merges the file, the environment, the flags and the defaults into one frozen configuration, or throws one error with all
// problems. Called by the commands before anything else. Flags override the environment, the environment overrides the file.

import { readFileSync } from "node:fs";
import { ConfigError, type ConfigProblem } from "./config-error.js";
import type { Node, Section } from "./declaration.js";
import { TextError, decodeText } from "./decode-text.js";
import { expandEnv, verbatim } from "./expand-env.js";
import { type Flag, flagOf, listFlags } from "./flags.js";
import { type Place, type RawSettings, type YamlFile, readYaml } from "./load-yaml.js";

/** A setting given on the command line or in the environment. */
export interface GivenSetting {
  /** Keys from the root of the configuration; numbers are indexes in a list. */
  readonly keys: readonly (string | number)[];
  readonly value: unknown;
  /** The name by which the user gave it: `--proxy.timeout`, `[addr]` for an argument, or a variable. */
  readonly flag: string;
}

/** Where settings come from. */
export interface ConfigSources {
  /** Path of the YAML file; undefined if there is none. */
  readonly path: string | undefined;
  readonly expandEnv: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly given: readonly GivenSetting[];
  /** Root keys whose settings in the file the command line replaces as a whole. */
  readonly replaces?: readonly string[];
}

/**
 * Loads a configuration.
 *
 * @throws ConfigError with all problems of the file and the flags.
 */
export function loadConfig<T>(declared: Section<T>, sources: ConfigSources): T {
  const file = readFile(declared, sources);
  const placeText = ({ column, line }: Place): string => `${sources.path}:${line}:${column}`;
  const problems: ConfigProblem[] = file.problems.map(({ path, place, message }) => ({
    path,
    flag: undefined,
    place: placeText(place),
    message,
  }));
  const settings = file.settings;
  for (const key of sources.replaces ?? []) delete settings[key];
  const flags = new Map<string, string>();
  // From the lowest level to the highest.
  for (const level of [fromEnvironment(listFlags(declared), sources.env), sources.given]) {
    replaceLower(settings, declared, level, flags);
    for (const { keys, value, flag } of level) {
      assign(settings, keys, value);
      flags.set(keys.join("."), flag);
    }
  }
  const result = declared.schema.safeParse(settings);
  for (const issue of result.error?.issues ?? []) {
    const keys = issue.path.filter((key) => typeof key !== "symbol");
    const { path, flag } = locate(declared, keys);
    const given = flags.get(keys.join("."));
    const found = given === undefined ? findPlace(file, path) : undefined;
    // The reader has already reported keys of the wrong shape, which look absent here.
    if (problems.some((problem) => problem.path === path && path !== "")) continue;
    const place = found === undefined ? undefined : placeText(found);
    problems.push({ path, flag: given ?? flag, place, message: issue.message });
  }
  if (!result.success || problems.length > 0) throw new ConfigError(inOrder(problems));
  return deepFreeze(result.data);
}

/**
 * The settings given by environment variables, each with `prefix` before its keys. Empty variables give no setting, and those
 * without a flag are ignored: Kubernetes sets some for a Service called `piko-proxy`.
 */
export function fromEnvironment(
  flags: readonly Flag[],
  env: ConfigSources["env"],
  prefix: readonly (string | number)[] = [],
): readonly GivenSetting[] {
  return flags.flatMap(({ keys, field, environment }) => {
    const text = env[environment] ?? "";
    return text === ""
      ? []
      : [{ keys: [...prefix, ...keys], value: field.fromText(text), flag: environment }];
  });
}

/** Removes the settings that those of this level replace. */
function replaceLower(
  settings: RawSettings,
  declared: Section,
  level: readonly GivenSetting[],
  flags: Map<string, string>,
): void {
  const given = new Set(level.map(({ keys }) => keys.join(".")));
  for (const { keys, field } of listFlags(declared)) {
    if (field.insteadOf === undefined || !given.has(keys.join("."))) continue;
    const other = [...keys.slice(0, -1), field.insteadOf];
    assign(settings, other, undefined);
    flags.delete(other.join("."));
  }
}

/** Sorts problems: first by position in the file, then those from the command line. */
function inOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const numbers = ({ place }: ConfigProblem): readonly number[] =>
    place?.split(":").slice(-2).map(Number) ?? [Infinity, 0];
  return problems
    .map((problem) => ({ problem, at: numbers(problem) }))
    .sort(({ at: [line = 0, column = 0] }, { at: [otherLine = 0, otherColumn = 0] }) =>
      line === otherLine ? column - otherColumn : line < otherLine ? -1 : 1,
    )
    .map(({ problem }) => problem);
}

function readFile(declared: Section, sources: ConfigSources): YamlFile {
  if (sources.path === undefined) return { settings: {}, problems: [], places: new Map() };
  if (sources.path === "") throw fileError("is empty: leave the flag out to run without a file");
  let bytes: Buffer;
  try {
    bytes = readFileSync(sources.path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw fileError(`read file: ${sources.path}: ${reason}`);
  }
  const text = readText(bytes, sources.path);
  return readYaml(text, sources.expandEnv ? expandEnv(text, sources.env) : verbatim(text), declared);
}

function readText(bytes: Buffer, path: string): string {
  try {
    return decodeText(bytes);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    const { column, line, message } = error;
    throw new ConfigError([{ path: "", flag: undefined, place: `${path}:${line}:${column}`, message }]);
  }
}

function fileError(message: string): ConfigError {
  return new ConfigError([{ path: "", flag: "--config.path", place: undefined, message }]);
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

/** The YAML path of a place in the configuration object, and its flag if it has one. */
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

/** The place of a setting, or of the nearest enclosing section that is in the file. */
function findPlace(file: YamlFile, path: string): Place | undefined {
  for (let at = path; at !== ""; at = at.replace(/(^|\.)[^.[]+$|\[\d+\]$/, "")) {
    const place = file.places.get(at);
    if (place !== undefined) return place;
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
