// `piko test cluster`.

import { Command } from "commander";
import { listFlags } from "../config/flags.js";
import { TEST_CLUSTER } from "../config/test-cluster.js";
import { addFileOptions, addFlagOptions, loadCommandConfig, onlyChecks } from "./config-flags.js";
import { type ProgramContext, runProgram } from "./run-program.js";
import { readVersion } from "./version.js";

/** Creates the commands that run things to try Piko on. */
export function createTestCommand(): Command {
  const command = new Command("test")
    .summary("run a cluster on this machine for testing")
    .description("Runs test environments.")
    .addHelpText("after", "\nExample:\n  piko test cluster");
  command.addCommand(createClusterCommand());
  return command;
}

function createClusterCommand(): Command {
  const command = new Command("cluster")
    .summary("run a cluster in one process")
    .description(
      "Runs a cluster in one process, with a load balancer in front that chooses a random node for each connection. SIGHUP reloads the number of nodes and the churn from the file. Not for production.",
    )
    .allowExcessArguments(false)
    .addHelpText(
      "after",
      `
Examples:
  # Three nodes behind the default ports.
  piko test cluster

  # Five nodes; the oldest is replaced every ten seconds.
  piko test cluster --nodes 5 --churn.interval 10s

  # Change the size of a running cluster.
  echo 'nodes: 3' > cluster.yaml
  piko test cluster --config.path cluster.yaml &
  echo 'nodes: 7' > cluster.yaml; kill -HUP $!`,
    );
  addFileOptions(command);
  addFlagOptions(command, listFlags(TEST_CLUSTER));
  return command.action(async () => {
    const config = loadCommandConfig(command, TEST_CLUSTER);
    if (onlyChecks(command)) return;
    let reload = (): void => {};
    process.on("SIGHUP", () => reload());
    const start = async ({ logger, signal }: ProgramContext): Promise<void> => {
      const { runTestCluster } = await import("../local-cluster/run.js");
      await runTestCluster({
        config,
        version: readVersion(),
        logger,
        signal,
        onReload: (listener) => {
          reload = () => listener(() => loadCommandConfig(command, TEST_CLUSTER));
        },
      });
    };
    await runProgram("cluster", config, start, "ignore");
  });
}
