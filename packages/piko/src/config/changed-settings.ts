// The differences between two configurations, setting by setting: for a program that reloads while it runs.

import { isDeepStrictEqual } from "node:util";
import type { Section } from "./declaration.js";

/** A setting, or a list as a whole. */
export interface ChangedSetting {
  /** YAML path: `proxy.limits.max_connections`, `listeners`. */
  readonly path: string;
  /** Keys of the configuration object from the root. */
  readonly keys: readonly string[];
}

/** Lists the settings that differ, in the order of the declaration. */
export function changedSettings(
  declared: Section,
  before: object,
  after: object,
  keys: readonly string[] = [],
  path = "",
): readonly ChangedSetting[] {
  return declared.entries.flatMap(({ key, name, node }) => {
    const [one, other] = [before, after].map((each) => (each as Record<string, unknown>)[key]);
    if (isDeepStrictEqual(one, other)) return [];
    const childPath = path === "" ? name : `${path}.${name}`;
    const childKeys = [...keys, key];
    const inside = node.kind === "section" && isObject(one) && isObject(other);
    if (inside) return changedSettings(node, one, other, childKeys, childPath);
    return [{ path: childPath, keys: childKeys }];
  });
}

/** `config` with the changed settings replaced by the values of `other`. */
export function withSettings<T extends object>(config: T, other: T, changed: readonly ChangedSetting[]): T {
  let result = config;
  for (const { keys } of changed) result = replaced(result, other, keys) as T;
  return result;
}

function replaced(target: object, source: object, [key = "", ...rest]: readonly string[]): object {
  const value = (source as Record<string, unknown>)[key];
  if (rest.length === 0) return { ...target, [key]: value };
  const inside = (target as Record<string, object>)[key] ?? {};
  return { ...target, [key]: replaced(inside, value as object, rest) };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
