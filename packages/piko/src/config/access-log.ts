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
});
