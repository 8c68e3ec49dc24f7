// Programs written in Go that tests use as they are: installed once where Go is, into interop/.cache.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findTool, run } from "./tools.js";

const CACHE = fileURLToPath(new URL("../interop/.cache/", import.meta.url));

/** What a registry says that doesn't give a module, or gives it no more: an answer, where other failures are failures here. */
const REFUSED = /\b(?:403 Forbidden|404 Not Found|410 Gone)\b/;

/**
 * The path of a program: that of this machine, or its own once it is installed. `path`: of its package. Undefined, and said on
 * stderr, where the registry refuses it, in CI too: no change of ours can mend that.
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
