// `piko forward tcp|start`.

import { Command } from "commander";
import { ConfigError } from "../config/config-error.js";
import { listFlags } from "../config/flags.js";
import { FORWARD } from "../config/forward.js";
import type { GivenSetting } from "../config/load-config.js";
import { addFileOptions, addFlagOptions, configPath, loadCommandConfig, onlyChecks } from "./config-flags.js";
import { refuseSwapped } from "./swapped-arguments.js";
import { runProgram } from "./run-program.js";

/** Creates the commands that run a forwarder. */
export function createForwardCommand(): Command {
  const command = new Command("forward")
    .summary("forward local TCP ports to endpoints")
    .description(
      "Opens local TCP ports and forwards their connections to endpoints, for clients that don't speak HTTP.",
    )
    .addHelpText(
      "after",
      `
Examples:
  # Connections to localhost:6379 go to endpoint "redis".
  piko forward tcp 6379 redis

  # All ports of a file.
  piko forward start --config.path ./forward.yaml`,
    );
  addFileOptions(command);
  addFlagOptions(command, listFlags(FORWARD));
  command.addCommand(createTcpCommand());
  command.addCommand(createStartCommand());
  return command;
}

function createTcpCommand(): Command {
  const command = new Command("tcp")
    .summary("forward one port")
    .description(
      "Opens one local port and forwards its connections to an endpoint. Ports in the configuration file are ignored.",
    )
    .argument("<addr>", "address to listen on: a port, which means localhost, or host:port")
    .argument("<endpoint>", "endpoint that connections go to")
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Examples:
  piko forward tcp 6379 redis
  piko forward tcp 127.0.0.1:5432 database --connect.url https://proxy.example.com`,
    );
  return command.action(async (addr: string, endpointId: string) => {
    refuseSwapped(
      { address: addr, endpoint: endpointId },
      "tcp",
      `address first, then endpoint: piko forward tcp ${endpointId} ${addr}`,
    );
    const given: GivenSetting[] = [
      { keys: ["ports", 0, "addr"], value: addr, flag: "<addr>" },
      { keys: ["ports", 0, "endpointId"], value: endpointId, flag: "<endpoint>" },
    ];
    await run(command, { given, replaces: ["ports"] });
  });
}

function createStartCommand(): Command {
  const command = new Command("start")
    .summary("open the ports in the configuration file")
    .description("Opens all ports in the configuration file.")
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Example, with forward.yaml:
  ports:
    - addr: 6379
      endpoint_id: redis

  piko forward start --config.path ./forward.yaml`,
    );
  return command.action(() => run(command, {}));
}

async function run(
  command: Command,
  more: { given?: readonly GivenSetting[]; replaces?: readonly string[] },
): Promise<void> {
  const config = loadCommandConfig(command, FORWARD, more);
  if (config.ports.length === 0) {
    const message = "no ports configured (set ports in the file of --config.path)";
    throw new ConfigError([{ path: "ports", flag: undefined, place: undefined, message }]);
  }
  if (onlyChecks(command)) return;
  await runProgram("forward", config, async (context) => {
    const { runForward } = await import("../forward/run.js");
    const load =
      configPath(command) === undefined ? undefined : () => loadCommandConfig(command, FORWARD, more);
    await runForward({ config, load, ...context });
  });
}
