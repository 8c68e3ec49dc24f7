// The flags of a declaration: every setting outside lists has one, named by its YAML path with dots and dashes.

import type { Field, Section } from "./declaration.js";

/** One flag, and its setting. */
export interface Flag {
  /** With dashes: `--proxy.http.read-timeout`. */
  readonly name: string;
  /** YAML path: `proxy.http.read_timeout`. */
  readonly path: string;
  /** Keys of the configuration object from the root. */
  readonly keys: readonly string[];
  readonly field: Field;
  /** The environment variable that also sets it: `PIKO_PROXY_HTTP_READ_TIMEOUT`. */
  readonly environment: string;
}

/** Lists the flags of a section in the order of the declaration. */
export function listFlags(declared: Section, keys: readonly string[] = [], path = ""): readonly Flag[] {
  return declared.entries.flatMap(({ key, name, node }) => {
    const childPath = path === "" ? name : `${path}.${name}`;
    const childKeys = [...keys, key];
    if (node.kind === "list") return [];
    if (node.kind === "section") return listFlags(node, childKeys, childPath);
    const flag = flagOf(node, childPath);
    return [
      {
        name: flag,
        path: childPath,
        keys: childKeys,
        field: node,
        environment: node.environment ?? environmentOf(flag),
      },
    ];
  });
}

/** The environment variable of a flag: `--proxy.http.read-timeout` -> `PIKO_PROXY_HTTP_READ_TIMEOUT`. */
export function environmentOf(flag: string): string {
  return `PIKO_${flag.replace(/^--/, "").replaceAll(/[.-]/g, "_").toUpperCase()}`;
}

/** The flag of a setting: `proxy.http.read_timeout` -> `--proxy.http.read-timeout`, unless the setting has its own. */
export function flagOf(field: Field, path: string): string {
  if (field.flag !== undefined) return field.flag;
  return `--${path.replaceAll("_", "-")}`;
}
