// Handles SIGHUP for log files: a tool such as logrotate has moved them away, and lines go to new files of the same names.

import type { Logger } from "./logger.js";

/** Opens the files of all access logs again. Logs that it did, if there are any. */
export function reopenLogs(logger: Logger): void {
  const paths = logger.sink.files.reopen((path, error) =>
    logger.error("could not open a log file again, lines still go to the old one", { path, error }),
  );
  if (paths.length > 0) logger.info("log files opened again", { paths });
}
