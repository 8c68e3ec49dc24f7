// The tree of commands. Also read by the generator of the reference.

import { Command, Help, type Option } from "commander";
import { createAgentCommand } from "./agent-command.js";
import { createBenchCommand } from "./bench-command.js";
import { createForwardCommand } from "./forward-command.js";
import { createKeyCommand } from "./key-command.js";
import { createServerCommand } from "./server-command.js";
import { createTestCommand } from "./test-command.js";
import { createTokenCommand } from "./token-command.js";
import { readVersion } from "./version.js";

/** Creates `piko` with all its commands. */
export function createProgram(): Command {
  const version = readVersion();
  const program = new Command("piko")
    .description("A reverse proxy for services that can't be reached: they connect out, clients come in.")
    // Or a command would take flags that were meant for commands below it.
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
  configureAll(program);
  return program;
}

function configureAll(command: Command): void {
  command
    .exitOverride()
    .showSuggestionAfterError()
    .helpCommand(false)
    .helpOption("-h, --help", "show help")
    .configureHelp({ showGlobalOptions: true, visibleGlobalOptions, formatItem });
  for (const child of command.commands) configureAll(child);
}

/**
 * Options of the commands around, without the version. `piko server` runs a node and keeps its flags to itself: it has
 * commands below that take none of them.
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

/** Options get two lines: their names are too long for two columns. */
function formatItem(term: string, termWidth: number, description: string, helper: Help): string {
  if (!term.startsWith("-"))
    return Help.prototype.formatItem.call(helper, term, termWidth, description, helper);
  const width = Math.max(40, (helper.helpWidth ?? 80) - 6);
  const lines = helper.boxWrap(description, width).split("\n");
  return [`  ${term}`, ...lines.map((line) => `      ${line}`)].join("\n");
}
