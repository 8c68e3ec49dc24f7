// All problems of a configuration, collected before any part of it is used.

/** One problem and its place. */
export interface ConfigProblem {
  /** YAML path such as `proxy.http.read_timeout` or `listeners[0].addr`; empty if the problem is the file itself. */
  readonly path: string;
  /** The flag of the same setting, such as `--proxy.http.read-timeout`; a positional argument as `[addr]`. */
  readonly flag: string | undefined;
  /** Position of the value in the file: `piko.yaml:4:12`; undefined if it came from a flag or a default. */
  readonly place: string | undefined;
  readonly message: string;
}

/** The error for an invalid configuration. `message` has one line per problem. */
export class ConfigError extends Error {
  readonly code = "PIKO_CONFIG_INVALID";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(formatProblem).join("\n"));
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** One line: `config: piko.yaml:4:12: proxy.timeout (--proxy.timeout): invalid duration "10": missing unit`. */
function formatProblem({ path, flag, place, message }: ConfigProblem): string {
  const setting = path === "" ? (flag ?? "") : flag === undefined ? path : `${path} (${flag})`;
  return ["config", place, setting, message].filter((part) => part !== undefined && part !== "").join(": ");
}
