// What SIGHUP means for log files: they have been moved away, as by logrotate, and lines are to go to new ones of their names.

import type { Logger } from "./logger.js";

/** Opens the files of all access logs again, and says so if there are any. */
export function reopenLogs(logger: Logger): void {
  const paths = logger.sink.files.reopen((path, error) =>
    logger.error("could not open a log file again, lines still go to the old one", { path, error }),
  );
  if (paths.length > 0) logger.info("log files opened again", { paths });
}
