// Handles SIGHUP for log files: something such as logrotate has moved them away, and new files of the same names are to be used.

import type { Logger } from "./logger.js";

/** Opens the files of all access logs again, and logs that if there are any. */
export function reopenLogs(logger: Logger): void {
  const paths = logger.sink.files.reopen((path, error) =>
    logger.error("could not open a log file again, lines still go to the old one", { path, error }),
  );
  if (paths.length > 0) logger.info("log files opened again", { paths });
}
