// `piko server`, which runs a node and has subcommands that show the state of running nodes.

import { statSync } from "node:fs";
import { Command } from "commander";
import { listFlags } from "../config/flags.js";
import { SERVER } from "../config/server.js";
import { addFileOptions, addFlagOptions, configPath, loadCommandConfig, onlyChecks } from "./config-flags.js";
import { runProgram } from "./run-program.js";
import { createStatusCommand } from "./status-command.js";
import { readVersion } from "./version.js";

/** Creates the command that runs a node. */
export function createServerCommand(): Command {
  const command = new Command("server")
    .summary("run a server node")
    .description(
      "Runs a server node. Agents open tunnels to its upstream port; clients reach the agents' endpoints through its proxy port.",
    )
    .allowExcessArguments(false)
    // A node's flags mean nothing to its subcommands.
    .enablePositionalOptions()
    .addHelpText(
      "after",
      `
Examples:
  # A node with the default ports, 8000 to 8003.
  piko server

  # Settings from a file that refers to environment variables.
  piko server --config.path ./server.yaml --config.expand-env`,
    );
  addFileOptions(command);
  addFlagOptions(command, listFlags(SERVER));
  command.addCommand(createStatusCommand());
  return command.action(async () => {
    const config = loadCommandConfig(command, SERVER);
    if (onlyChecks(command)) return;
    await runProgram("server", config, async (context) => {
      const { runServer } = await import("../server/run.js");
      const path = watchablePath(command);
      const reload =
        path === undefined ? undefined : { path, load: () => loadCommandConfig(command, SERVER) };
      await runServer({ config, reload, version: readVersion(), ...context });
    });
  });
}

/** The path of the configuration file, if it can be read again. */
function watchablePath(command: Command): string | undefined {
  const path = configPath(command);
  return path !== undefined && statSync(path).isFile() ? path : undefined;
}
