// Hosts on an isolated network: network namespaces on one bridge, which is in a namespace as well. Every port is free there,
// so commands can be run as the documentation shows them.

import { startProgram, type Program } from "./program.js";
import type { Stage } from "./stage.js";
import { haveTools, run, type RunOptions, type ToolResult } from "./tools.js";

let created = 0;

/** One host. */
export class PrivateHost {
  readonly address: string;
  readonly #namespace: string;

  constructor(namespace: string, address: string) {
    this.#namespace = namespace;
    this.address = address;
  }

  /** The command that runs another one on the host. */
  get around(): readonly string[] {
    return ["ip", "netns", "exec", this.#namespace];
  }

  /** Runs a shell command until it exits. */
  run(command: string, options: RunOptions = {}): Promise<ToolResult> {
    return run("ip", ["netns", "exec", this.#namespace, "sh", "-c", command], options);
  }

  /** Starts a shell command that is killed with the stage. */
  start(stage: Stage, name: string, command: string): Program {
    return startProgram(stage, name, "ip", ["netns", "exec", this.#namespace, "sh", "-c", `exec ${command}`]);
  }
}

/**
 * Creates hosts with these addresses of one /24. If the test lacks the privileges, the result is undefined and a message is
 * written to stderr.
 */
export async function createHosts<Addresses extends readonly string[]>(
  stage: Stage,
  addresses: readonly [...Addresses],
): Promise<{ [Index in keyof Addresses]: PrivateHost } | undefined> {
  if (!haveTools("ip")) return undefined;
  const id = `${process.pid % 100_000}-${created++}`;
  const hub = `piko-hub-${id}`;
  const added = await run("ip", ["netns", "add", hub]);
  if (added.code !== 0) {
    process.stderr.write(`skipped: no network namespace: ${added.stderr}`);
    return undefined;
  }
  // The cables and the bridge are removed with their namespaces.
  stage.defer(async () => void (await run("ip", ["netns", "delete", hub])));
  await ip(`-n ${hub} link add bridge type bridge`);
  await ip(`-n ${hub} link set bridge up`);
  const hosts: PrivateHost[] = [];
  for (const [at, address] of addresses.entries()) {
    const namespace = `piko-host-${id}-${at}`;
    await ip(`netns add ${namespace}`);
    stage.defer(async () => void (await run("ip", ["netns", "delete", namespace])));
    await ip(`-n ${hub} link add cable${at} type veth peer name eth0 netns ${namespace}`);
    await ip(`-n ${hub} link set cable${at} master bridge up`);
    await ip(`-n ${namespace} address add ${address}/24 dev eth0`);
    for (const device of ["lo", "eth0"]) await ip(`-n ${namespace} link set ${device} up`);
    hosts.push(new PrivateHost(namespace, address));
  }
  return hosts as { [Index in keyof Addresses]: PrivateHost };
}

async function ip(args: string): Promise<void> {
  const { code, stderr } = await run("ip", args.split(" "));
  if (code !== 0) throw new Error(`ip ${args}: ${stderr}`);
}
