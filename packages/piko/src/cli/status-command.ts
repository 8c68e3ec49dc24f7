// `piko server status ...`.

import { systemClock } from "@piko/tunnel";
import { Command, InvalidArgumentError, Option } from "commander";
import { listFlags } from "../config/flags.js";
import { loadConfig } from "../config/load-config.js";
import { STATUS } from "../config/status.js";
import type { Page } from "../status/pages.js";
import { addFlagOptions, givenSettings } from "./config-flags.js";
import { onHangUp } from "./hang-up.js";
import { hasReader } from "./stdout.js";

const FAILED = 1;
const STATUSES = ["active", "unreachable", "left"];

/** Creates the commands that show what a running node knows. */
export function createStatusCommand(): Command {
  const command = new Command("status")
    .summary("show the state of a running node and its cluster")
    .description(
      "Shows the state of a running node: which endpoints it has, and what it knows about its cluster. It asks the node's admin port.",
    )
    .addHelpText(
      "after",
      `
Examples:
  # The nodes of the cluster, as the node on this machine sees them.
  piko server status cluster nodes

  # The same as another node sees them, again every second.
  piko server status cluster nodes --forward node-2 --watch

  # Endpoints and their listeners on one node, for a program.
  piko server status upstream endpoints --server.url http://10.0.0.7:8002 --output json`,
    );
  addFlagOptions(command, listFlags(STATUS));
  command.addCommand(createUpstreamCommand());
  command.addCommand(createClusterCommand());
  command.addCommand(createEndpointCommand());
  command.addCommand(createGossipCommand());
  return command;
}

function createUpstreamCommand(): Command {
  const group = new Command("upstream")
    .summary("endpoints and agents of the node")
    .description("Shows the endpoints and agents of the node.")
    .addHelpText("after", "\nExample:\n  piko server status upstream endpoints");
  const endpoints = new Command("endpoints")
    .summary("endpoints with their listeners")
    .description("Shows the endpoints that agents listen on at this node, with the number of listeners.")
    .addHelpText("after", "\nExample:\n  piko server status upstream endpoints --watch");
  const agents = new Command("agents")
    .summary("agents, each listed once")
    .description(
      "Shows the listeners of agents at this node, each once, regardless of its number of tunnels. A listener has the same name on every node that it has a tunnel to. Listeners of Go agents have no name.",
    )
    .addHelpText("after", "\nExample:\n  piko server status upstream agents");
  const doubtful = new Command("doubtful")
    .summary("tunnels whose agents are silent")
    .description(
      "Shows the tunnels whose agents leave streams or pings unanswered, with the time and the reason. Requests use other tunnels first.",
    )
    .addHelpText("after", "\nExample:\n  piko server status upstream doubtful --watch");
  group.addCommand(endpoints.action(() => run(endpoints, (pages) => pages.upstreamEndpoints)));
  group.addCommand(agents.action(() => run(agents, (pages) => pages.upstreamAgents)));
  group.addCommand(doubtful.action(() => run(doubtful, (pages) => pages.upstreamDoubtful)));
  return group;
}

function createEndpointCommand(): Command {
  const command = new Command("endpoint")
    .summary("nodes and agents of an endpoint")
    .description(
      "Shows the nodes of the cluster on which agents listen on an endpoint, and those agents. The node that is asked forwards the question to the others.",
    )
    .argument("<id>", "id of the endpoint")
    .allowExcessArguments(false)
    .addHelpText("after", "\nExample:\n  piko server status endpoint my-endpoint");
  return command.action(async (id: string) => {
    const { endpoint } = await import("../status/endpoint-page.js");
    await run(command, () => endpoint(id));
  });
}

function createClusterCommand(): Command {
  const group = new Command("cluster")
    .summary("the nodes of the cluster and their endpoints")
    .description("Shows the nodes of the cluster, as this node sees them.")
    .addHelpText("after", "\nExample:\n  piko server status cluster nodes");
  const nodes = new Command("nodes")
    .summary("all nodes")
    .description("Shows all nodes, each with its number of endpoints and upstreams.")
    .addOption(
      new Option(`--status <${STATUSES.join("|")}>`, "Shows only nodes of this status.").argParser(
        parseStatus,
      ),
    )
    .addHelpText(
      "after",
      `
Examples:
  piko server status cluster nodes
  piko server status cluster nodes --status unreachable`,
    );
  nodes.action(({ status = "" }: { status?: string }) => run(nodes, (pages) => pages.clusterNodes(status)));
  const node = new Command("node")
    .summary("one node")
    .description("Shows one node with its endpoints.")
    .argument("<id>", "id of the node; `local` is the one that is asked")
    .addHelpText("after", "\nExample:\n  piko server status cluster node local");
  node.action((id: string) => run(node, (pages) => pages.clusterNode(id)));
  group.addCommand(nodes);
  group.addCommand(node);
  return group;
}

/** Empty for all, because scripts may pass an empty variable. */
function parseStatus(text: string): string {
  if (text === "" || STATUSES.includes(text)) return text;
  throw new InvalidArgumentError(`Allowed choices are ${STATUSES.join(", ")}.`);
}

function createGossipCommand(): Command {
  const group = new Command("gossip")
    .summary("gossip state of the node")
    .description("Shows what the node has learned by gossip.")
    .addHelpText("after", "\nExample:\n  piko server status gossip nodes");
  const nodes = new Command("nodes")
    .summary("all nodes")
    .description("Shows all nodes known by gossip, including those that have left or are unreachable.")
    .addHelpText("after", "\nExample:\n  piko server status gossip nodes");
  nodes.action(() => run(nodes, (pages) => pages.gossipNodes));
  const node = new Command("node")
    .summary("one node")
    .description("Shows one node with all keys that it has announced.")
    .argument("<id>", "id of the node")
    .addHelpText("after", "\nExample:\n  piko server status gossip node node-2");
  node.action((id: string) => run(node, (pages) => pages.gossipNode(id)));
  group.addCommand(nodes);
  group.addCommand(node);
  return group;
}

async function run<T>(
  command: Command,
  choose: (pages: typeof import("../status/pages.js")) => Page<T>,
): Promise<void> {
  const given = givenSettings(command, listFlags(STATUS));
  const config = loadConfig(STATUS, { path: undefined, expandEnv: false, env: process.env, given });
  const [pages, { runStatus }] = await Promise.all([
    import("../status/pages.js"),
    import("../status/run.js"),
  ]);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  onHangUp(() => stop.abort());
  // The reader has seen enough (`--watch | head`), or the disk is full.
  process.stdout.on("error", () => stop.abort());
  const { stdout, stderr } = process;
  try {
    await runStatus({
      config,
      page: choose(pages),
      screen: {
        write: (text) => void stdout.write(text),
        writeError: (text) => void stderr.write(text),
        hasReader: hasReader(),
        size: () => (stdout.isTTY ? { columns: stdout.columns, rows: stdout.rows } : undefined),
      },
      signal: stop.signal,
      clock: systemClock,
      // oxlint-disable-next-line no-restricted-properties -- the process provides the time
      wallNow: Date.now,
    });
  } catch (error) {
    if (stop.signal.aborted) return;
    stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = FAILED;
  }
}
