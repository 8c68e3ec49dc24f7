// `piko agent http|tcp|start`.

import { Command } from "commander";
import { AGENT, LISTENER } from "../config/agent.js";
import { ConfigError } from "../config/config-error.js";
import { type Flag, listFlags } from "../config/flags.js";
import { fromEnvironment, type GivenSetting } from "../config/load-config.js";
import {
  addFileOptions,
  addFlagOptions,
  configPath,
  givenSettings,
  loadCommandConfig,
  onlyChecks,
} from "./config-flags.js";
import { refuseSwapped } from "./swapped-arguments.js";
import { runProgram } from "./run-program.js";
import { readVersion } from "./version.js";

const TCP_FLAGS: ReadonlySet<string> = new Set([
  "access_log.level",
  "access_log.disable",
  "health_check.tcp",
  "health_check.interval",
  "health_check.timeout",
  "health_check.unhealthy_threshold",
  "health_check.healthy_threshold",
  "timeout",
]);
const NOT_FLAGS: ReadonlySet<string> = new Set(["endpoint_id", "addr"]);

/** Commands that open one listener. */
type ListenCommand = "http" | "tcp";

/** The flags of the one listener that `agent http` and `agent tcp` open. */
export function listenerFlags(protocol: ListenCommand): readonly Flag[] {
  const flags = listFlags(LISTENER).filter(({ path }) => !NOT_FLAGS.has(path));
  return protocol === "tcp" ? flags.filter(({ path }) => TCP_FLAGS.has(path)) : flags;
}

/** Creates the commands that run an agent. */
export function createAgentCommand(): Command {
  const command = new Command("agent")
    .summary("run an agent that exposes services on endpoints")
    .description(
      "Runs an agent next to your services. It opens outbound connections to the server and forwards requests for its endpoints to the services.",
    )
    .addHelpText(
      "after",
      `
Examples:
  # Forward requests for endpoint "my-endpoint" to a service on port 3000.
  piko agent http my-endpoint 3000

  # Forward connections to endpoint "redis" to Redis.
  piko agent tcp redis 6379

  # Open all listeners in a file.
  piko agent start --config.path ./agent.yaml`,
    );
  addFileOptions(command);
  addFlagOptions(command, listFlags(AGENT));
  command.addCommand(createListenCommand("http"));
  command.addCommand(createListenCommand("tcp"));
  command.addCommand(createStartCommand());
  return command;
}

function createListenCommand(protocol: ListenCommand): Command {
  const what = protocol === "http" ? "HTTP requests" : "TCP connections";
  const service = protocol === "http" ? "a port, host:port or a URL" : "a port or host:port";
  const command = new Command(protocol)
    .summary(`forward the ${what} of one endpoint`)
    .description(
      `Listens on one endpoint and forwards its ${what} to a service. Listeners in the configuration file are ignored.`,
    )
    .argument("<endpoint>", "endpoint to listen on")
    .argument("<addr>", `address of the service: ${service}`)
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      protocol === "http"
        ? `
Examples:
  # To a service on localhost.
  piko agent http my-endpoint 3000

  # To a gRPC server.
  piko agent http my-endpoint 50051 --protocol grpc

  # To a service on another host, through a remote server.
  piko agent http my-endpoint http://app.internal:8080/base --connect.url https://upstream.example.com`
        : `
Examples:
  piko agent tcp redis 6379
  piko agent tcp database db.internal:5432 --connect.url https://upstream.example.com`,
    );
  const flags = listenerFlags(protocol);
  addFlagOptions(command, flags);
  return command.action(async (endpointId: string, addr: string) => {
    refuseSwapped(
      { address: addr, endpoint: endpointId },
      protocol,
      `endpoint first, then address: piko agent ${protocol} ${addr} ${endpointId}`,
    );
    const given: GivenSetting[] = [
      { keys: ["listeners", 0, "endpointId"], value: endpointId, flag: "<endpoint>" },
      { keys: ["listeners", 0, "addr"], value: addr, flag: "<addr>" },
      { keys: ["listeners", 0, "protocol"], value: protocol, flag: `agent ${protocol}` },
      ...fromEnvironment(flags, process.env, ["listeners", 0]),
      ...givenSettings(command, flags, ["listeners", 0]),
    ];
    await run(command, { given, replaces: ["listeners"] }, protocol);
  });
}

function createStartCommand(): Command {
  const command = new Command("start")
    .summary("open the listeners in the configuration file")
    .description("Opens all listeners in the configuration file.")
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Example, with agent.yaml:
  listeners:
    - endpoint_id: my-endpoint
      addr: 3000
    - endpoint_id: redis
      addr: localhost:6379
      protocol: tcp

  piko agent start --config.path ./agent.yaml`,
    );
  return command.action(() => run(command, {}));
}

async function run(
  command: Command,
  more: { given?: readonly GivenSetting[]; replaces?: readonly string[] },
  kind?: ListenCommand,
): Promise<void> {
  const config = loadCommandConfig(command, AGENT, more);
  if (kind === "http" && config.listeners.some(({ protocol }) => protocol === "tcp")) {
    const message = "must be one that carries HTTP: tcp has a command of its own, piko agent tcp";
    throw new ConfigError([{ path: "listeners[0].protocol", flag: "--protocol", place: undefined, message }]);
  }
  if (config.listeners.length === 0) {
    const message = "no listeners configured (set listeners in the file of --config.path)";
    throw new ConfigError([{ path: "listeners", flag: undefined, place: undefined, message }]);
  }
  if (onlyChecks(command)) return;
  await runProgram("agent", config, async (context) => {
    const { runAgent } = await import("../agent/run.js");
    const load =
      configPath(command) === undefined ? undefined : () => loadCommandConfig(command, AGENT, more);
    await runAgent({ config, load, version: readVersion(), ...context });
  });
}
