// The settings of an access log: one line for each request that was served.

import { type Section, section } from "./declaration.js";
import { bool, choice, number, strings, text } from "./fields.js";
import { LOG_LEVELS, type LogLevel } from "./log.js";

/** Which header fields a line shows. At most one of the two lists is set. */
export interface HeaderFilterConfig {
  readonly blockList: readonly string[];
  readonly allowList: readonly string[];
}

/** Whether and how requests are logged. */
export interface AccessLogConfig {
  readonly level: LogLevel;
  readonly requestHeaders: HeaderFilterConfig;
  readonly responseHeaders: HeaderFilterConfig;
  readonly disable: boolean;
  readonly format: AccessLogFormat;
  /** Empty for standard error. */
  readonly path: string;
  /** The fraction of successful requests that is logged, between 0 and 1. */
  readonly sample: number;
}

/** Format of the lines; `log` is the format of the general log. */
export type AccessLogFormat = "log" | "json" | "logfmt" | "pretty";

function headerFilter(what: string): Section<HeaderFilterConfig> {
  return section(
    `Which ${what} header fields the access log shows. By default, only fields known to hold no secrets.`,
    {
      blockList: strings(
        `Names of ${what} header fields to leave out as well; case is ignored. Can't be combined with the allow list.`,
      ),
      allowList: strings(
        `Names of the only ${what} header fields to show; case is ignored. Values of fields whose names suggest a secret are still redacted. Can't be combined with the block list.`,
      ),
    },
    (filter, report) => {
      if (filter.blockList.length > 0 && filter.allowList.length > 0) {
        report(["allowList"], "can't be set together with block_list");
      }
    },
  );
}

/** Declares `access_log`. */
export const ACCESS_LOG: Section<AccessLogConfig> = section("The access log: one line per request.", {
  level: choice(
    LOG_LEVELS,
    "info",
    "Level of the lines; log.level must include it. Requests with a status of 500 or more are logged at least at `warn`.",
  ),
  requestHeaders: headerFilter("request"),
  responseHeaders: headerFilter("response"),
  disable: bool("Turns the access log off."),
  format: choice(
    ["log", "json", "logfmt", "pretty"],
    "log",
    "Format of the lines. `log`: the format of the log, but JSON in a file where that is for people. Header fields are in JSON only.",
  ),
  path: text(
    "File that the lines are appended to, instead of stderr. It is opened again on SIGHUP, so that it can be moved away before.",
  ),
  sample: number(
    1,
    "Part of the successful requests that is logged, at random: 0.01 is one of a hundred. Failed requests are always logged.",
    { min: 0, max: 1 },
  ),
});
