// h2spec, the conformance tests for HTTP/2 servers (github.com/summerwind/h2spec): installed once into interop/.cache, if Go
// is available.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { installGo } from "./go-tools.js";
import type { Stage } from "./stage.js";
import { findTool, haveTools, run } from "./tools.js";

const VERSION = "v2.6.0";

/** Whether it is installed or can be. */
export const haveH2spec: boolean = findTool("h2spec") !== undefined || haveTools("go");

/** Returns its path. If the registry doesn't have it, the result is undefined and a message is written to stderr. */
export function installH2spec(): Promise<string | undefined> {
  return installGo("github.com/summerwind/h2spec/cmd/h2spec", VERSION);
}

/** The result of a run. */
export interface Conformance {
  readonly passed: number;
  /** Lines of the report, each with its number: `2: Sends invalid connection preface`. */
  readonly failed: readonly string[];
  readonly report: string;
}

/** Runs all tests in strict mode against a port of this machine, as the server named `host`. `h2spec` is its path. */
export async function runH2spec(
  stage: Stage,
  h2spec: string,
  host: string,
  port: string,
  args: readonly string[] = [],
): Promise<Conformance> {
  // It sends the name that it connects to, so the name must resolve to this machine, but for h2spec only.
  const hosts = join(await stage.directory(), "hosts");
  await writeFile(hosts, `127.0.0.1 localhost ${host}\n`);
  const command = `mount --bind ${hosts} /etc/hosts && exec "$0" "$@"`;
  const own = ["--map-root-user", "--mount", "sh", "-c", command, h2spec];
  // Some cases need an answer with a body.
  const path = ["--path", "/bytes?n=1000"];
  const strict = ["--strict", "--host", host, "--port", port, ...path, "--timeout", "5", ...args];
  const { stdout, stderr } = await run("unshare", [...own, ...strict], { ms: 170_000 });
  const counts = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(stdout);
  if (counts === null) throw new Error(`h2spec: ${stderr}${stdout}`);
  // Failures are listed again after the whole report.
  const failed = new Set([...stdout.matchAll(/× (\d+: .*)$/gm)].map(([, line = ""]) => line));
  return { passed: Number(counts[2]), failed: [...failed], report: stdout };
}
