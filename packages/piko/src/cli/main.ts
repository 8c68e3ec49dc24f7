// Entry point of the command line: parses, runs, and turns errors into messages and exit codes. Only this folder uses the global
// `process`. 0: done, or stopped gracefully; 1: the configuration or the run failed; 2: wrong usage.

import { type Command, CommanderError } from "commander";
import { ConfigError } from "../config/config-error.js";
import { AGENT, LISTENER } from "../config/agent.js";
import { listFlags } from "../config/flags.js";
import { FORWARD } from "../config/forward.js";
import { SERVER } from "../config/server.js";
import { STATUS } from "../config/status.js";
import { listSwitches, rewriteSwitches } from "./config-flags.js";
import { hideSecrets } from "./hide-secrets.js";
import { createProgram } from "./program.js";
import { watchStdout } from "./stdout.js";

const FAILED = 1;
const WRONG_USAGE = 2;

const SECRET_FLAGS: ReadonlySet<string> = new Set(
  [AGENT, LISTENER, FORWARD, SERVER, STATUS]
    .flatMap((declared) => listFlags(declared))
    .filter(({ field }) => field.secret)
    .map(({ name }) => name),
);

/** Runs the command line of this process. */
export async function main(): Promise<void> {
  watchStdout();
  const args = process.argv.slice(2);
  const shown = hideSecrets(args, SECRET_FLAGS);
  if (shown !== undefined) process.title = ["piko", ...shown].join(" ");
  const program = createProgram();
  let errors = "";
  captureErrors(program, (text) => {
    errors += text;
  });
  try {
    await program.parseAsync(rewriteSwitches(args, listSwitches(program)) as string[], {
      from: "user",
    });
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = FAILED;
    } else if (!(error instanceof CommanderError)) {
      throw error;
    } else if (error.code === "commander.help") {
      // A group of commands was called without a command. That isn't a mistake but a request for help.
      process.stdout.write(errors);
    } else if (error.exitCode !== 0) {
      process.stderr.write(`${errors.trimEnd()}\nRun 'piko --help' for usage.\n`);
      process.exitCode = WRONG_USAGE;
    }
  }
}

function captureErrors(command: Command, write: (text: string) => void): void {
  command.configureOutput({ writeErr: write });
  for (const child of command.commands) captureErrors(child, write);
}
