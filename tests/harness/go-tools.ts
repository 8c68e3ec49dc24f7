// Programs written in Go that tests use unchanged: installed once into interop/.cache, if Go is available.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findTool, run } from "./tools.js";

const CACHE = fileURLToPath(new URL("../interop/.cache/", import.meta.url));

/** A registry's answer if it doesn't have a module, or no longer has it. Any other failure makes the test fail. */
const REFUSED = /\b(?:403 Forbidden|404 Not Found|410 Gone)\b/;

/**
 * Returns the path of a program: the one of this machine, or else the one that this function has installed. `path` is the
 * path of its package. If the registry refuses the module, the result is undefined and a message is written to stderr, even
 * in CI: no change in this repository could fix that.
 */
export async function installGo(path: string, version: string): Promise<string | undefined> {
  const name = basename(path);
  const found = findTool(name);
  if (found !== undefined) return found;
  const installed = join(CACHE, name);
  if (existsSync(installed)) return installed;
  await mkdir(CACHE, { recursive: true });
  const { code, stderr } = await run("go", ["install", `${path}@${version}`], {
    env: { GOBIN: CACHE },
    ms: 600_000,
  });
  if (code === 0) return installed;
  if (!REFUSED.test(stderr)) throw new Error(`go install: ${stderr}`);
  process.stderr.write(`skipped: needs ${name} ${version}, which the registry refuses: ${stderr}\n`);
  return undefined;
}
