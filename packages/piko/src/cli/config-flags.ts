// Turns declared settings into options of a command, and given options into settings.

import { type Command, Option } from "commander";
import type { Section } from "../config/declaration.js";
import { environmentOf, type Flag, listFlags } from "../config/flags.js";
import { type ConfigSources, type GivenSetting, loadConfig } from "../config/load-config.js";

/** Adds `--config.path` and `--config.expand-env`. */
export function addFileOptions(command: Command): void {
  const heading = "Configuration file:";
  command.addOption(
    new Option(
      "--config.path <path>",
      "YAML file with settings. Flags and the environment override it.",
    ).helpGroup(heading),
  );
  addSwitch(
    command,
    new Option("--config.check", "Checks the configuration, reports problems, and exits.").helpGroup(heading),
  );
  const expand =
    "Expands $NAME, ${NAME} and ${NAME:default} in the file from the environment; $$ is a dollar sign.";
  addSwitch(command, new Option("--config.expand-env", expand).helpGroup(heading));
}

/** Adds an option for each flag, under a heading for each section. */
export function addFlagOptions(command: Command, flags: readonly Flag[]): void {
  for (const flag of flags) {
    const { field } = flag;
    const heading = flagHeading(flag);
    if (field.type === "bool") {
      addSwitch(command, new Option(flag.name, field.description).helpGroup(heading));
      continue;
    }
    const byDefault = field.defaultText === "" ? "" : ` (default: ${field.defaultText})`;
    const option = new Option(`${flag.name} <${field.type}>`, field.description + byDefault).helpGroup(
      heading,
    );
    if (field.repeatable) {
      // The first use replaces the parts from the file and the default; further uses add to it.
      option.argParser<readonly string[]>((text, previous) => [
        ...(Array.isArray(previous) ? previous : []),
        ...(field.fromText(text) as readonly string[]),
      ]);
    }
    command.addOption(option);
  }
}

/** Adds a switch and its hidden opposite, to which {@link rewriteSwitches} converts `--name=false`. */
function addSwitch(command: Command, option: Option): void {
  command.addOption(option);
  command.addOption(new Option(option.long?.replace(/^--/, "--no-") ?? "", "").hideHelp());
}

function flagHeading(flag: Flag): string {
  const dot = flag.path.lastIndexOf(".");
  return dot < 0 ? "General:" : `${flag.path.slice(0, dot)}:`;
}

/** The settings given on the command line, with `prefix` before their keys in the configuration. */
export function givenSettings(
  command: Command,
  flags: readonly Flag[],
  prefix: readonly (string | number)[] = [],
): readonly GivenSetting[] {
  const values: Record<string, unknown> = command.optsWithGlobals();
  return flags.flatMap(({ name, keys, field }) => {
    const value = values[new Option(name).attributeName()];
    if (value === undefined) return [];
    const settled = typeof value === "string" ? field.fromText(value) : value;
    return [{ keys: [...prefix, ...keys], value: settled, flag: name }];
  });
}

/**
 * Loads a command's configuration from its file, its flags, and what else the command line gave. `flags` are the settings that
 * the command has as flags; all by default.
 */
export function loadCommandConfig<T>(
  command: Command,
  declared: Section<T>,
  more: { given?: readonly GivenSetting[]; replaces?: readonly string[]; flags?: readonly Flag[] } = {},
): T {
  const values: Record<string, unknown> = command.optsWithGlobals();
  const expandEnv = values["config.expandEnv"] ?? process.env[environmentOf("--config.expand-env")];
  const sources: ConfigSources = {
    path: configPath(command),
    expandEnv: expandEnv === true || TRUE.has(String(expandEnv)),
    env: process.env,
    given: [...givenSettings(command, more.flags ?? listFlags(declared)), ...(more.given ?? [])],
    replaces: more.replaces ?? [],
  };
  return loadConfig(declared, sources);
}

/** The path of the configuration file, from the flag or the environment; undefined if there is none. */
export function configPath(command: Command): string | undefined {
  const path: unknown = command.optsWithGlobals()["config.path"];
  if (typeof path === "string") return path;
  const variable = process.env[environmentOf("--config.path")] ?? "";
  return variable === "" ? undefined : variable;
}

/** Whether the configuration was only to be checked. If so, reports that it is valid. */
export function onlyChecks(command: Command): boolean {
  if (command.optsWithGlobals()["config.check"] !== true) return false;
  process.stdout.write("the configuration is valid\n");
  return true;
}

const TRUE: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE: ReadonlySet<string> = new Set(["0", "f", "F", "FALSE", "false", "False"]);

/** Rewrites `--switch=true` and `--switch=false`, which the option parser doesn't know, up to a `--`. */
export function rewriteSwitches(args: readonly string[], switches: ReadonlySet<string>): readonly string[] {
  const end = args.indexOf("--");
  return args.map((arg, index) => {
    const [name = "", value = ""] = arg.split("=", 2);
    if ((end >= 0 && index > end) || !arg.includes("=") || !switches.has(name)) return arg;
    if (TRUE.has(value)) return name;
    return FALSE.has(value) ? name.replace(/^--/, "--no-") : arg;
  });
}

/** All switches of a command and its subcommands, as `--name`. */
export function listSwitches(command: Command): ReadonlySet<string> {
  const own = command.options
    .filter((option) => option.isBoolean() && !option.negate)
    .map(({ long }) => long ?? "");
  return new Set([...own, ...command.commands.flatMap((child) => [...listSwitches(child)])]);
}
