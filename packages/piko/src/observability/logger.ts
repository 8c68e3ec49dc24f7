// The log of everything that isn't per request: one JSON object a line, logfmt, or short lines for people. Programs get a
// Logger passed in and name their subsystem; the access logs share its output.

import { LOG_LEVELS, type LogConfig, type LogLevel } from "../config/log.js";
import { LogFiles } from "./log-files.js";
import { formatLine, type LineFormat } from "./log-format.js";
import { FileDevice } from "./file-device.js";
import { LogOutput } from "./log-output.js";
import type { RecentRequests } from "./recent-requests.js";
import { redactFields, redactText } from "./redact.js";
import { TimestampFormatter } from "./timestamp.js";

/** What a line says besides its message. Errors go under `error`. Values under telling names are redacted. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines of one subsystem. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger of another subsystem, with the same settings; the name is the whole name, such as `proxy.http`. */
  subsystem(name: string): Logger;
  /** The same logger, but its lines go to another place. */
  to(sink: LogSink): Logger;
  /** Whether lines of this level would be written. */
  enabled(level: LogLevel): boolean;
  /** What the access logs write to. */
  readonly sink: LogSink;
}

/** What a screen shows in place of lines. */
export interface LogScreen {
  /** Where requests go, too, while there is a screen. */
  recent: RecentRequests | undefined;
}

/** Where and how lines are written. */
export interface LogSink {
  readonly output: LogOutput;
  readonly format: LineFormat;
  readonly colour: boolean;
  readonly timestamps: TimestampFormatter;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Whether lines of this level and subsystem are written. */
  readonly allows: (level: LogLevel, subsystem: string) => boolean;
  /** Other levels from now on. Access logs have theirs from when they were made. */
  readonly setLevels: (config: Pick<LogConfig, "level" | "subsystems">) => void;
  /** Of all logs that the program writes. */
  readonly screen: LogScreen;
  /** Where logs go that have files of their own. */
  readonly files: LogFiles;
}

/** What a logger needs to know of its surroundings. */
export interface LoggerOptions {
  readonly config: LogConfig;
  /** By default stderr. */
  readonly output?: LogOutput;
  /** Whether the output is a terminal. */
  readonly terminal?: boolean;
  readonly colour?: boolean;
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
    colour: options.colour ?? terminal,
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

/** The same sink with another output, which is no terminal. */
export function fileSink(sink: LogSink, output: LogOutput, format: LineFormat): LogSink {
  return { ...sink, output, format, colour: false };
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
    const { colour, format, now, timestamps } = this.sink;
    const ts = timestamps.format(now());
    return formatLine(format, { level, ts, subsystem: this.#name, message, fields }, colour);
  }
}
