// External programs that a test needs. If one is missing, the test is skipped with a message; in CI it fails.

import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { promisify } from "node:util";
import { expectNoSecrets, registerInputs } from "./secrets.js";

/** The program's path, or undefined. */
export function findTool(name: string): string | undefined {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

/** Whether all of these tools are installed; missing ones are named on stderr. */
export function haveTools(...names: readonly string[]): boolean {
  const missing = names.filter((name) => findTool(name) === undefined);
  if (missing.length === 0) return true;
  const reason = `needs ${missing.join(", ")}, which is not installed`;
  if (process.env["CI"] === "true") throw new Error(reason);
  process.stderr.write(`skipped: ${reason}\n`);
  return false;
}

/** A tool's output and exit code. */
export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly ms?: number;
  /** Text for its stdin. */
  readonly input?: string;
  /** Whether it may print secrets, because the test makes it do so. */
  readonly showsSecrets?: boolean;
}

/** Runs a tool until it exits. Doesn't throw because of the exit code, but does if the tool prints a secret of the tests. */
export async function run(
  name: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ToolResult> {
  registerInputs(args, options.env);
  const result = await runUnwatched(name, args, options);
  if (options.showsSecrets !== true)
    expectNoSecrets(basename(name), `${result.stdout}\n${result.stderr}`.split("\n"));
  return result;
}

async function runUnwatched(name: string, args: readonly string[], options: RunOptions): Promise<ToolResult> {
  const pending = promisify(execFile)(name, [...args], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    timeout: options.ms ?? 150_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  // A tool may exit without reading its input; that isn't a failure.
  pending.child.stdin?.on("error", () => {});
  pending.child.stdin?.end(options.input ?? "");
  try {
    const { stdout, stderr } = await pending;
    return { code: 0, stdout, stderr };
  } catch (error) {
    const failed = error as { code?: unknown; stdout?: string; stderr?: string; message: string };
    if (typeof failed.code !== "number") throw error;
    return { code: failed.code, stdout: failed.stdout ?? "", stderr: failed.stderr ?? "" };
  }
}
