// The settings of an access log: one line for each request that was served.

import { type Section, section } from "./declaration.js";
import { bool, choice, strings } from "./fields.js";
import { LOG_LEVELS, type LogLevel } from "./log.js";

/** Which header fields a line shows. At most one of the two lists has members. */
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
}

function headerFilter(what: string): Section<HeaderFilterConfig> {
  return section(
    `Which ${what} header fields the access log shows: those that are known to hold no secrets, unless one of the lists says otherwise.`,
    {
      blockList: strings(
        `Names of ${what} header fields that are left out, too, in any case. Excludes the allow list.`,
      ),
      allowList: strings(
        `Names of the only ${what} header fields that are shown, in any case; values of those whose names speak of a secret are redacted even so. Excludes the block list.`,
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
export const ACCESS_LOG: Section<AccessLogConfig> = section("One log line for each request.", {
  level: choice(
    LOG_LEVELS,
    "info",
    "Level of the lines, which log.level has to let through. Requests that failed with a status of 500 or more are at least `warn`.",
  ),
  requestHeaders: headerFilter("request"),
  responseHeaders: headerFilter("response"),
  disable: bool("Logs no requests."),
});
