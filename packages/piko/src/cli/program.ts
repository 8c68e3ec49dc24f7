// The tree of commands. The generator of the reference documentation reads it too.

import { Command, Help, type Option } from "commander";
import { createAgentCommand } from "./agent-command.js";
import { createBenchCommand } from "./bench-command.js";
import { createCompletionCommand } from "./completion-command.js";
import { createForwardCommand } from "./forward-command.js";
import { formatHelp } from "./format-help.js";
import { createInitCommand } from "./init-command.js";
import { createKeyCommand } from "./key-command.js";
import { createServerCommand } from "./server-command.js";
import { createTestCommand } from "./test-command.js";
import { createTokenCommand } from "./token-command.js";
import { readVersion } from "./version.js";

/** Creates `piko` with all its commands. */
export function createProgram(): Command {
  const version = readVersion();
  const program = new Command("piko")
    .description(
      "A reverse proxy for services behind NAT and firewalls: agents connect out, clients connect in.",
    )
    // Otherwise a command would take flags that were meant for its subcommands.
    .enablePositionalOptions()
    .version(`piko version ${version}`, "-v, --version", "show the version")
    .addHelpText(
      "after",
      `
Examples:
  # A server, an agent that brings a local service to it, and a request.
  piko server
  piko agent http my-endpoint 3000
  curl -H "x-piko-endpoint: my-endpoint" http://localhost:8000`,
    );
  program.addCommand(createServerCommand());
  program.addCommand(createAgentCommand());
  program.addCommand(createForwardCommand());
  program.addCommand(createKeyCommand());
  program.addCommand(createTokenCommand());
  program.addCommand(createBenchCommand());
  program.addCommand(createTestCommand());
  program.addCommand(createInitCommand());
  program.addCommand(createCompletionCommand(program));
  program.addCommand(createVersionCommand(version));
  program.addCommand(createHelpCommand(program));
  configureAll(program);
  return program;
}

function createVersionCommand(version: string): Command {
  return new Command("version")
    .summary("show the version")
    .description("Shows the version.")
    .allowExcessArguments(false)
    .action(() => void process.stdout.write(`piko version ${version}\n`));
}

function createHelpCommand(program: Command): Command {
  const command = new Command("help")
    .summary("show help for a command")
    .description("Shows help for a command, like its --help.")
    .argument("[command...]", "the command, such as `agent http`");
  return command.action((names: readonly string[]) => {
    let found = program;
    for (const name of names) {
      const next = found.commands.find((each) => each.name() === name);
      if (next === undefined) command.error(`error: unknown command '${names.join(" ")}'`);
      else found = next;
    }
    found.outputHelp();
  });
}

function configureAll(command: Command): void {
  command
    .exitOverride()
    .showSuggestionAfterError()
    .helpCommand(false)
    .helpOption("-h, --help", "show help")
    .configureHelp({ showGlobalOptions: true, visibleGlobalOptions, formatHelp });
  for (const child of command.commands) configureAll(child);
}

/**
 * Options of the parent commands, without the version. Those of `piko server` are left out, because they are for running a node
 * and its subcommands don't take them.
 */
function visibleGlobalOptions(command: Command): Option[] {
  const options: Option[] = [];
  for (let parent = command.parent; parent !== null && parent.name() !== "server"; parent = parent.parent) {
    options.push(
      ...new Help().visibleOptions(parent).filter(({ long }) => long !== "--version" && long !== "--help"),
    );
  }
  return options;
}
