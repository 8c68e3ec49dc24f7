// `piko bench http`.

import { Command } from "commander";
import { BENCH } from "../config/bench.js";
import { listFlags } from "../config/flags.js";
import { addFileOptions, addFlagOptions, loadCommandConfig, onlyChecks } from "./config-flags.js";
import { runProgram } from "./run-program.js";

/** Creates the commands that benchmark a server. */
export function createBenchCommand(): Command {
  const command = new Command("bench")
    .summary("measure a server under load")
    .description("Puts load on a running server and measures its performance.");
  command.addCommand(createHttpCommand());
  return command;
}

function createHttpCommand(): Command {
  const command = new Command("http")
    .summary("measure a server with HTTP requests")
    .description(
      "Opens upstreams on a server, sends HTTP requests to them through its proxy port, and prints throughput, latencies and errors. Exits with 1 if a request failed.",
    )
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Examples:
  # 100,000 requests of 1 KiB by 100 clients to a server on this machine.
  piko bench http

  # A remote deployment, with larger bodies and few endpoints.
  piko bench http --connect.proxy-url https://proxy.example.com \\
    --connect.upstream-url https://upstream.example.com \\
    --endpoints 4 --upstreams 8 --clients 20 --requests 10000 --size 65536`,
    );
  addFlagOptions(command, listFlags(BENCH));
  addFileOptions(command);
  return command.action(async () => {
    const config = loadCommandConfig(command, BENCH);
    if (onlyChecks(command)) return;
    await runProgram("benchmark", config, async ({ logger, signal }) => {
      const { runBench } = await import("../bench/run.js");
      await runBench({
        config,
        logger,
        signal,
        print: (line) => process.stdout.write(`${line}\n`),
        showProgress: process.stderr.isTTY ? (text) => process.stderr.write(text) : undefined,
      });
    });
  });
}
