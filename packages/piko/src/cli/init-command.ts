// `piko init server|agent`: writes a configuration file to start from.

import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { AGENT } from "../config/agent.js";
import { SERVER } from "../config/server.js";
import { sampleFile } from "../config/sample-file.js";
import { runTool } from "./run-tool.js";

const SERVER_VALUES = {
  "proxy.bind_addr": ":8000",
  "upstream.bind_addr": ":8001",
  "admin.bind_addr": ":8002",
  "cluster.gossip.bind_addr": ":8003",
};
const AGENT_VALUES = {
  "connect.url": "http://localhost:8001",
  "listeners[].endpoint_id": "my-endpoint",
  "listeners[].addr": "3000",
};

const FILES = {
  server: { name: "server.yaml", declared: SERVER, values: SERVER_VALUES, use: "piko server --config.path" },
  agent: { name: "agent.yaml", declared: AGENT, values: AGENT_VALUES, use: "piko agent start --config.path" },
} as const;

/** Creates the commands that write configuration files. */
export function createInitCommand(): Command {
  const command = new Command("init")
    .summary("write a sample configuration file")
    .description(
      "Writes a sample configuration file. All settings, with their defaults and descriptions, are in it as comments.",
    )
    .addHelpText("after", "\nExample:\n  piko init server -");
  for (const [program, { declared, name, use, values }] of Object.entries(FILES)) {
    command.addCommand(
      new Command(program)
        .summary(`write a sample file for piko ${program}`)
        .description(
          `Writes a sample configuration file for piko ${program}. An existing file isn't overwritten.`,
        )
        .argument("[path]", "where to write it; - is standard output", name)
        .allowExcessArguments(false)
        .addHelpText("after", `\nExample:\n  piko init ${program} my-${program}.yaml`)
        .action(async (path: string) => {
          const text = sampleFile(declared, values, `${use} ${path === "-" ? name : path}`);
          await runTool(async () => {
            if (path === "-") {
              process.stdout.write(text);
              return;
            }
            write(path, text);
            process.stdout.write(`wrote ${path}; use it with: ${use} ${path}\n`);
          });
        }),
    );
  }
  return command;
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: "wx" });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === "EEXIST" ? `${path} already exists: choose another path` : message, {
      cause: error,
    });
  }
}
