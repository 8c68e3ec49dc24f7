// A logger that writes nothing.

import { LogOutput } from "../src/observability/log-output.js";
import { LogFiles } from "../src/observability/log-files.js";
import type { Logger } from "../src/observability/logger.js";
import { TimestampFormatter } from "../src/observability/timestamp.js";

/** Creates a logger with all levels off. */
export function createSilentLogger(): Logger {
  const nothing = (): void => {};
  const logger: Logger = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: nothing,
    subsystem: () => logger,
    to: () => logger,
    enabled: () => false,
    sink: {
      output: new LogOutput({
        write: (bytes, offset, done) => done(null, bytes.length - offset),
        writeSync: (bytes, offset) => bytes.length - offset,
      }),
      format: "json",
      color: false,
      timestamps: new TimestampFormatter(),
      now: () => 0,
      allows: () => false,
      setLevels: () => {},
      screen: { recent: undefined },
      files: new LogFiles(),
    },
  };
  return logger;
}
