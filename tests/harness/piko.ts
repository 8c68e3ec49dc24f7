// The Piko programs as a user starts them: the built `piko` command, on ports that the system chooses and the programs report
// in their logs.

import { fileURLToPath } from "node:url";
import type { LabHost } from "./network-lab.js";
import { type Program, startProgram } from "./program.js";
import type { Stage } from "./stage.js";
import { run, type ToolResult } from "./tools.js";

/** The command under test. PIKO_COMMAND sets another one, such as that of an installed package. */
export const PIKO: string =
  process.env["PIKO_COMMAND"] ?? fileURLToPath(new URL("../../node_modules/.bin/piko", import.meta.url));

/** A server that is ready. Addresses are `127.0.0.1:port`. */
export interface RunningServer {
  readonly program: Program;
  readonly proxy: string;
  readonly upstream: string;
  readonly admin: string;
  readonly gossip: string;
}

/** Starts the command with a log of JSON lines; `stop` expects exit code 0. */
export function piko(
  stage: Stage,
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Program {
  return startProgram(stage, name, PIKO, [...args, "--log.format", "json"], { stopCode: 0, env });
}

/** Starts `piko server` on a host, with its default ports; returns as soon as they are bound. */
export async function startServerOn(
  stage: Stage,
  host: LabHost,
  flags: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
  const all: Record<string, string> = { "drain-delay": "0s", "log.format": "json", ...flags };
  const args = Object.entries(all).map(([name, value]) => `--${name}=${value}`);
  const command = host.command(PIKO, ["server", ...args]);
  const program = startProgram(stage, `server on ${host.name}`, ...command, { stopCode: 0 });
  // Several start at the same time, which takes a while on a busy machine.
  await program.waitFor("server started", { ms: 60_000 });
  const at = (port: number): string => `${host.main.includes(":") ? `[${host.main}]` : host.main}:${port}`;
  return { program, proxy: at(8_000), upstream: at(8_001), admin: at(8_002), gossip: at(8_003) };
}

function text(fields: Readonly<Record<string, unknown>>, key: string): string {
  const value = fields[key];
  if (typeof value !== "string") throw new Error(`the start line has no "${key}": ${JSON.stringify(fields)}`);
  return value;
}

/** Runs a Piko command that exits by itself. */
export function runPiko(...args: readonly string[]): Promise<ToolResult> {
  return run(PIKO, args);
}

/** Starts `piko server`; a flag given here replaces the default of the same name. */
export async function startServer(
  stage: Stage,
  flags: Readonly<Record<string, string>> = {},
  env: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
  const all: Record<string, string> = {
    "proxy.bind-addr": "127.0.0.1:0",
    "upstream.bind-addr": "127.0.0.1:0",
    "admin.bind-addr": "127.0.0.1:0",
    "cluster.gossip.bind-addr": "127.0.0.1:0",
    // The drain delay is for load balancers that react slowly; most tests have none.
    "drain-delay": "0s",
    ...flags,
  };
  const args = Object.entries(all).map(([name, value]) => `--${name}=${value}`);
  const program = piko(stage, "server", ["server", ...args], env);
  const { fields } = await program.waitFor("server started");
  return {
    program,
    proxy: text(fields, "proxy"),
    upstream: text(fields, "upstream"),
    admin: text(fields, "admin"),
    gossip: text(fields, "gossip"),
  };
}

export interface AgentOptions {
  /** `http` (the default) or `tcp`. */
  readonly mode?: "http" | "tcp";
  readonly flags?: readonly string[];
  /** Whether to wait until the tunnel is open; true by default. */
  readonly wait?: boolean;
}

/** An address as the URL of a server; an address that already has a scheme stays as it is. */
function urlOf(address: string): string {
  return address.includes("://") ? address : `http://${address}`;
}

/** Starts `piko agent http|tcp endpoint target` against an upstream address. */
export async function startAgent(
  stage: Stage,
  upstream: string,
  endpoint: string,
  target: string,
  options: AgentOptions = {},
): Promise<Program> {
  const { mode = "http", flags = [], wait = true } = options;
  const program = piko(stage, `agent ${endpoint}`, [
    "agent",
    mode,
    endpoint,
    target,
    "--connect.url",
    urlOf(upstream),
    ...flags,
  ]);
  if (wait) await program.waitFor("connected");
  return program;
}

/** Starts `piko agent start` with a configuration file. */
export function startAgentOfFile(stage: Stage, upstream: string, path: string): Program {
  return piko(stage, "agent", [
    "agent",
    "start",
    "--config.path",
    path,
    "--connect.url",
    `http://${upstream}`,
  ]);
}

/** A local port that `piko forward tcp` forwards to an endpoint. */
export interface RunningForward {
  readonly program: Program;
  readonly addr: string;
}

/** Starts `piko forward tcp 127.0.0.1:0 endpoint` against a proxy address. */
export async function startForward(
  stage: Stage,
  proxy: string,
  endpoint: string,
  flags: readonly string[] = [],
): Promise<RunningForward> {
  const connect = ["--connect.url", urlOf(proxy)];
  const args = ["forward", "tcp", "127.0.0.1:0", endpoint, ...connect, ...flags];
  const program = piko(stage, `forward ${endpoint}`, args);
  const { fields } = await program.waitFor("listening");
  return { program, addr: text(fields, "addr") };
}

/** A server and one HTTP agent for the endpoint `web`, with a service: the start of most tests. */
export interface Tunnel {
  readonly server: RunningServer;
  readonly agent: Program;
}

/** Starts a server, and an agent that forwards the endpoint `web` to `target`. */
export async function startTunnel(
  stage: Stage,
  target: string,
  flags: Readonly<Record<string, string>> = {},
): Promise<Tunnel> {
  const server = await startServer(stage, flags);
  const agent = await startAgent(stage, server.upstream, "web", target);
  return { server, agent };
}
