// The settings of the log, the same for every program.

import { type Section, section } from "./declaration.js";
import { choice, strings } from "./fields.js";

/** Levels from the least to the most important. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** How important a line is. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** How lines look; `auto` is `pretty` on a terminal, else `json`. */
export type LogFormat = "auto" | "json" | "pretty";

/** What is logged, and how. */
export interface LogConfig {
  readonly level: LogLevel;
  readonly subsystems: readonly string[];
  readonly format: LogFormat;
}

/** Declares `log`. */
export const LOG: Section<LogConfig> = section("What is logged on stderr, and how.", {
  level: choice(LOG_LEVELS, "info", "Least important level that is logged."),
  subsystems: strings(
    "Subsystems that are logged at every level, whatever log.level says, by their exact names as in the log, such as `proxy.http`.",
  ),
  format: choice(
    ["auto", "json", "pretty"],
    "auto",
    "One JSON object a line for machines, or short lines for people. `auto` is `pretty` when stderr is a terminal, else `json`.",
  ),
});
