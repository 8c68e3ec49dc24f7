// `piko token create|inspect`.

import { readFileSync } from "node:fs";
import { systemClock } from "@piko/tunnel";
import { Command } from "commander";
import { listFlags } from "../config/flags.js";
import { loadConfig } from "../config/load-config.js";
import { SERVER } from "../config/server.js";
import { TOKEN_CREATE, TOKEN_INSPECT } from "../config/token.js";
import { createLogger } from "../observability/logger.js";
import { FileDevice } from "../observability/file-device.js";
import { LogOutput } from "../observability/log-output.js";
import { addFileOptions, addFlagOptions, givenSettings, loadCommandConfig } from "./config-flags.js";
import { runTool } from "./run-tool.js";

const STDERR = 2;
/** For warnings about keys and key sets. */
const LOG_WARNINGS = { level: "warn", subsystems: [], format: "pretty" } as const;

/** Creates the commands that create and inspect tokens. */
export function createTokenCommand(): Command {
  const command = new Command("token")
    .summary("create and inspect tokens")
    .description("Creates tokens, and explains existing ones.")
    .addHelpText("after", "\nExample:\n  piko token create --key-file secret --endpoint my-endpoint");
  command.addCommand(createCreateCommand());
  command.addCommand(createInspectCommand());
  return command;
}

function createCreateCommand(): Command {
  const command = new Command("create")
    .summary("create a token")
    .description(
      "Creates a token and prints it. The key is read from a file or the environment, never from the command line, which other users can see.",
    )
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Examples:
  # For an agent: valid for an hour, for one endpoint and those of a team.
  piko token create --key-file secret --endpoint my-endpoint --endpoint 'team-a-*' --lifetime 1h

  # For a client: signed with a private key, never expires.
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
        // oxlint-disable-next-line no-restricted-properties -- the process provides the time
        nowMs: Date.now(),
        warn: (text) => void process.stderr.write(`${text}\n`),
      });
      process.stdout.write(`${token}\n`);
    });
  });
}

function createInspectCommand(): Command {
  const command = new Command("inspect")
    .summary("inspect a token")
    .description(
      "Shows what a token contains and when it expires. With a server's configuration, also shows for each port whether the token is accepted, and if not, why. Reads a file or standard input.",
    )
    .argument("[file]", "file with the token; default: standard input")
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Examples:
  # What a token holds.
  piko token create --key-file secret | piko token inspect

  # Whether a server lets it in.
  piko token inspect token --config.path ./server.yaml --endpoint my-endpoint`,
    );
  const flags = listFlags(TOKEN_INSPECT);
  addFlagOptions(command, flags);
  addFileOptions(command);
  return command.action(async (path: string | undefined) => {
    const sources = { path: undefined, expandEnv: false, env: {}, given: givenSettings(command, flags) };
    const question = loadConfig(TOKEN_INSPECT, sources);
    const hasServer = command.opts()["config.path"] !== undefined;
    const server = hasServer ? loadCommandConfig(command, SERVER, { flags: [] }) : undefined;
    // oxlint-disable-next-line no-restricted-properties -- the process provides the time
    const wallNow = Date.now;
    await runTool(async () => {
      const { inspectToken } = await import("../token/inspect-token.js");
      const output = new LogOutput(new FileDevice(STDERR));
      const logger = createLogger({ config: LOG_WARNINGS, output, terminal: false, color: false });
      const judge = server && { server, question, clock: systemClock, wallNow, logger };
      const lines = await inspectToken({ text: readInput(path), nowMs: wallNow(), judge });
      process.stdout.write(`${lines.join("\n")}\n`);
      output.flushSync();
    });
  });
}

/** The contents of a file, or of standard input. */
function readInput(path: string | undefined): string {
  if (path !== undefined && /^(?:Bearer )?eyJ[\w-]*\./.test(path)) {
    throw new Error("is a token, not a file: pass it on standard input, where other users can't see it");
  }
  try {
    return readFileSync(path ?? 0, "utf8");
  } catch (error) {
    const { code = "unreadable" } = error as NodeJS.ErrnoException;
    throw new Error(`can't read ${path ?? "standard input"} (${code})`, { cause: error });
  }
}
