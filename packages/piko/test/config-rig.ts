// Configurations from text, in a folder of the test file.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../src/config/config-error.js";
import type { Section } from "../src/config/declaration.js";
import { listFlags } from "../src/config/flags.js";
import { type ConfigSources, type GivenSetting, loadConfig } from "../src/config/load-config.js";

/** Folder of the files, between {@link makeFolder} and {@link removeFolder}. */
export let folder = "";

export function makeFolder(): void {
  folder = mkdtempSync(join(tmpdir(), "piko-config-"));
}

export function removeFolder(): void {
  rmSync(folder, { recursive: true });
}

export function load<T>(
  declared: Section<T>,
  yaml: string | Buffer | undefined,
  more: Partial<ConfigSources> = {},
): T {
  const path = yaml === undefined ? undefined : join(folder, "piko.yaml");
  if (yaml !== undefined && path !== undefined) writeFileSync(path, yaml);
  return loadConfig(declared, { path, expandEnv: false, env: {}, given: [], ...more });
}

/** The lines of the error, without the folder. */
export function problems(act: () => unknown): readonly string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(`${folder}/`, "").split("\n");
    throw error;
  }
  return [];
}

/** Settings as given on the command line: `--name value`. */
export function given(declared: Section, flags: Readonly<Record<string, string>>): readonly GivenSetting[] {
  return listFlags(declared)
    .filter(({ name }) => name in flags)
    .map(({ name, keys, field }) => ({ keys, value: field.fromText(flags[name] ?? ""), flag: name }));
}
