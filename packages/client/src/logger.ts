// Where this package logs what happens to its tunnels. Programs pass their own logger; without one nothing is logged.

/** Writes log lines. `console` itself doesn't fit: adapt it with a function for each level. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Writes nothing. */
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
