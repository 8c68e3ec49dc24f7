// The log of everything except requests: one JSON object per line, logfmt, or short lines for people. Each part of a program
// receives a Logger and names its subsystem; access logs share its output.

import { LOG_LEVELS, type LogConfig, type LogLevel } from "../config/log.js";
import { LogFiles } from "./log-files.js";
import { formatLine, type LineFormat } from "./log-format.js";
import { FileDevice } from "./file-device.js";
import { LogOutput } from "./log-output.js";
import type { RecentRequests } from "./recent-requests.js";
import { redactFields, redactText } from "./redact.js";
import { TimestampFormatter } from "./timestamp.js";

/** What a line contains besides its message. Errors go under `error`. Values whose names suggest a secret are redacted. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines of one subsystem. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger for another subsystem, with the same settings. `name` is the full name, such as `proxy.http`. */
  subsystem(name: string): Logger;
  /** The same logger, writing to another sink. */
  to(sink: LogSink): Logger;
  /** Whether lines of this level would be written. */
  enabled(level: LogLevel): boolean;
  /** What access logs write to. */
  readonly sink: LogSink;
}

/** What a screen shows instead of lines. */
export interface LogScreen {
  /** Where requests are also reported while there is a screen. */
  recent: RecentRequests | undefined;
}

/** Where and how lines are written. */
export interface LogSink {
  readonly output: LogOutput;
  readonly format: LineFormat;
  readonly color: boolean;
  readonly timestamps: TimestampFormatter;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Whether lines of this level and subsystem are written. */
  readonly allows: (level: LogLevel, subsystem: string) => boolean;
  /** Changes the levels from now on. Access logs keep those from their creation. */
  readonly setLevels: (config: Pick<LogConfig, "level" | "subsystems">) => void;
  /** The screen that all logs of the program share. */
  readonly screen: LogScreen;
  /** The files of logs that have their own. */
  readonly files: LogFiles;
}

/** What a logger needs to know about its environment. */
export interface LoggerOptions {
  readonly config: LogConfig;
  /** Default: stderr. */
  readonly output?: LogOutput;
  /** Whether the output is a terminal. */
  readonly terminal?: boolean;
  readonly color?: boolean;
  readonly now?: () => number;
  /** Name of the first subsystem; `main` by default. */
  readonly subsystem?: string;
}

/** Creates the log of a program. */
export function createLogger(options: LoggerOptions): Logger {
  // oxlint-disable-next-line no-restricted-properties -- every line has the time of day
  const { config, output = new LogOutput(new FileDevice(2)), terminal = false, now = Date.now } = options;
  let rank = LOG_LEVELS.indexOf(config.level);
  let subsystems = new Set(config.subsystems);
  const sink: LogSink = {
    output,
    format: config.format === "auto" ? (terminal ? "pretty" : "json") : config.format,
    color: options.color ?? terminal,
    timestamps: new TimestampFormatter(),
    now,
    allows: (level, subsystem) => LOG_LEVELS.indexOf(level) >= rank || subsystems.has(subsystem),
    setLevels: (levels) => {
      rank = LOG_LEVELS.indexOf(levels.level);
      subsystems = new Set(levels.subsystems);
    },
    screen: { recent: undefined },
    files: new LogFiles(),
  };
  return new SubsystemLogger(sink, options.subsystem ?? "main");
}

/** The same sink with another output, which isn't a terminal. */
export function fileSink(sink: LogSink, output: LogOutput, format: LineFormat): LogSink {
  return { ...sink, output, format, color: false };
}

class SubsystemLogger implements Logger {
  readonly sink: LogSink;
  readonly #name: string;

  constructor(sink: LogSink, name: string) {
    this.sink = sink;
    this.#name = name;
    sink.output.droppedLine ??= (count) => this.#line("warn", "log lines dropped", { count });
  }

  debug(message: string, fields?: LogFields): void {
    this.#log("debug", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log("info", message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log("warn", message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#log("error", message, fields);
  }

  subsystem(name: string): Logger {
    return new SubsystemLogger(this.sink, name);
  }

  to(sink: LogSink): Logger {
    return new SubsystemLogger(sink, this.#name);
  }

  enabled(level: LogLevel): boolean {
    return this.sink.allows(level, this.#name);
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (this.enabled(level)) {
      this.sink.output.write(this.#line(level, redactText(message), redactFields(fields)));
    }
  }

  #line(level: LogLevel, message: string, fields: LogFields): string {
    const { color, format, now, timestamps } = this.sink;
    const ts = timestamps.format(now());
    return formatLine(format, { level, ts, subsystem: this.#name, message, fields }, color);
  }
}
