// `piko key create`.

import { Command } from "commander";
import { listFlags } from "../config/flags.js";
import { loadConfig } from "../config/load-config.js";
import { KEY_CREATE } from "../config/token.js";
import { addFlagOptions, givenSettings } from "./config-flags.js";
import { runTool } from "./run-tool.js";

/** Creates the commands that create keys. */
export function createKeyCommand(): Command {
  const command = new Command("key")
    .summary("create keys for tokens")
    .description("Creates keys for signing tokens.")
    .addHelpText("after", "\nExample:\n  piko key create");
  command.addCommand(createCreateCommand());
  return command;
}

function createCreateCommand(): Command {
  const command = new Command("create")
    .summary("create a secret or a key pair")
    .description("Creates a secret (32 random bytes in base64), or a private and a public key (PEM).")
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Examples:
  # A secret, in a file that only its owner can read.
  piko key create --out secret

  # A pair: key.pem makes tokens, key.pem.pub lets servers check them.
  piko key create --algorithm ES256 --out key.pem`,
    );
  const flags = listFlags(KEY_CREATE);
  addFlagOptions(command, flags);
  return command.action(async () => {
    const sources = { path: undefined, expandEnv: false, env: {} };
    const config = loadConfig(KEY_CREATE, { ...sources, given: givenSettings(command, flags) });
    await runTool(async () => {
      const { runKeyCreate } = await import("../token/create-key.js");
      process.stdout.write(runKeyCreate(config));
    });
  });
}
