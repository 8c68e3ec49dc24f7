// `piko token create|inspect`.

import { readFileSync } from "node:fs";
import { Command } from "commander";
import { listFlags } from "../config/flags.js";
import { loadConfig } from "../config/load-config.js";
import { TOKEN_CREATE } from "../config/token.js";
import { addFlagOptions, givenSettings } from "./config-flags.js";
import { runTool } from "./run-tool.js";

/** Creates the commands that make and explain tokens. */
export function createTokenCommand(): Command {
  const command = new Command("token")
    .summary("make and explain tokens")
    .description("Makes tokens that servers let in, and explains those that there are.")
    .addHelpText("after", "\nExample:\n  piko token create --key-file secret --endpoint my-endpoint");
  command.addCommand(createCreateCommand());
  command.addCommand(createInspectCommand());
  return command;
}

function createCreateCommand(): Command {
  const command = new Command("create")
    .summary("make a token")
    .description(
      "Makes a token and prints it. The key comes from a file or the environment, never from the command line, which others can read.",
    )
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Examples:
  # For an agent: an hour, one endpoint and those of a team.
  piko token create --key-file secret --endpoint my-endpoint --endpoint 'team-a-*' --lifetime 1h

  # For a client, by a private key, for good.
  piko token create --key-file key.pem --subject reports --lifetime 0`,
    );
  const flags = listFlags(TOKEN_CREATE);
  addFlagOptions(command, flags);
  return command.action(async () => {
    const sources = { path: undefined, expandEnv: false, env: process.env };
    const config = loadConfig(TOKEN_CREATE, { ...sources, given: givenSettings(command, flags) });
    await runTool(async () => {
      const { createToken } = await import("../token/create-token.js");
      const token = await createToken({
        config,
        key: process.env["PIKO_TOKEN_KEY"] ?? "",
        // oxlint-disable-next-line no-restricted-properties -- the process is where time comes from
        nowMs: Date.now(),
        warn: (text) => void process.stderr.write(`${text}\n`),
      });
      process.stdout.write(`${token}\n`);
    });
  });
}

function createInspectCommand(): Command {
  const command = new Command("inspect")
    .summary("explain a token")
    .description("Says what a token holds, and when it expires. Reads a file, or standard input.")
    .argument("[file]", "file with the token; standard input by default")
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Example:
  piko token create --key-file secret | piko token inspect`,
    );
  return command.action(async (path: string | undefined) => {
    await runTool(async () => {
      const { inspectToken } = await import("../token/inspect-token.js");
      const lines = await inspectToken({
        text: readInput(path),
        // oxlint-disable-next-line no-restricted-properties -- the process is where time comes from
        nowMs: Date.now(),
      });
      process.stdout.write(`${lines.join("\n")}\n`);
    });
  });
}

/** The contents of a file, or of standard input. */
function readInput(path: string | undefined): string {
  if (path !== undefined && /^(?:Bearer )?eyJ[\w-]*\./.test(path)) {
    throw new Error("is a token, not a file: on standard input others of the machine can't read it");
  }
  try {
    return readFileSync(path ?? 0, "utf8");
  } catch (error) {
    const { code = "unreadable" } = error as NodeJS.ErrnoException;
    throw new Error(`can't read ${path ?? "standard input"} (${code})`, { cause: error });
  }
}
