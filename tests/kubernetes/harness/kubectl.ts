// kubectl and Helm as programs, so that tests see a cluster as its users do.

import { run, type ToolResult } from "../../harness/tools.js";
import { CLUSTER_RUN } from "./environment.js";
import { toolPath } from "./go-tools.js";

export interface KubectlOptions {
  /** Text for its stdin. */
  readonly input?: string;
  readonly ms?: number;
}

/** Runs kubectl and returns its stdout; throws with its stderr if it fails. */
export async function kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
  return outputOf(`kubectl ${args.join(" ")}`, await runInCluster(["kubectl", ...args], options));
}

/** Like `kubectl`, for Helm. */
export async function helm(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
  return outputOf(`helm ${args.join(" ")}`, await runInCluster([toolPath("helm"), ...args], options));
}

/** Parses kubectl's JSON output. */
export async function kubectlJson<T>(args: readonly string[]): Promise<T> {
  return JSON.parse(await kubectl([...args, "--output", "json"])) as T;
}

function runInCluster(command: readonly string[], options: KubectlOptions): Promise<ToolResult> {
  const [program = "", ...args] = [...CLUSTER_RUN, ...command];
  return run(program, args, { ms: 120_000, ...options });
}

function outputOf(what: string, { code, stdout, stderr }: ToolResult): string {
  if (code !== 0) throw new Error(`${what} ended with ${code}: ${stderr}`);
  return stdout;
}
