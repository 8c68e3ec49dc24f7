// Entry of the command line: parses, runs, and turns errors into messages and exit codes. Only this folder touches
// the process. 0: done or stopped gracefully; 1: a configuration or a run that failed; 2: a command line that is wrong.

import { type Command, CommanderError } from "commander";
import { ConfigError } from "../config/config-error.js";
import { listSwitches, rewriteSwitches } from "./config-flags.js";
import { createProgram } from "./program.js";
import { watchStdout } from "./stdout.js";

const FAILED = 1;
const WRONG_USAGE = 2;

/** Runs the command line of this process. */
export async function main(): Promise<void> {
  watchStdout();
  const program = createProgram();
  let errors = "";
  captureErrors(program, (text) => {
    errors += text;
  });
  try {
    await program.parseAsync(rewriteSwitches(process.argv.slice(2), listSwitches(program)) as string[], {
      from: "user",
    });
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`${error.message}\n`);
      process.exitCode = FAILED;
    } else if (!(error instanceof CommanderError)) {
      throw error;
    } else if (error.code === "commander.help") {
      // A group of commands that was called without one: not a mistake, but a question.
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
