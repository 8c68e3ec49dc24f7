// The settings of the log, the same for every program.

import { type Section, section } from "./declaration.js";
import { choice, strings } from "./fields.js";

/** Levels, from the least to the most important. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Format of the lines; `auto` is `pretty` on a terminal, otherwise `json`. */
export type LogFormat = "auto" | "json" | "logfmt" | "pretty";

/** What is logged, and how. */
export interface LogConfig {
  readonly level: LogLevel;
  readonly subsystems: readonly string[];
  readonly format: LogFormat;
}

/** Declares `log`. */
export const LOG: Section<LogConfig> = section("The log, which goes to stderr.", {
  level: choice(LOG_LEVELS, "info", "Lowest level that is logged."),
  subsystems: strings(
    "Subsystems to log at every level, regardless of log.level. Names are exact, as they appear in the log, such as `proxy.http`.",
  ),
  format: choice(
    ["auto", "json", "pretty"],
    "auto",
    "One JSON object per line for machines, or short lines for people. `auto` is `pretty` if stderr is a terminal, otherwise `json`. With `auto`, an agent also shows its status at the end of a terminal.",
  ),
});
