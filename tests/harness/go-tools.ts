// Programs written in Go that tests use as they are: installed once where Go is, into interop/.cache.

import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findTool, run } from "./tools.js";

const CACHE = fileURLToPath(new URL("../interop/.cache/", import.meta.url));

/** The path of a program: that of this machine, or its own once it is installed. `path`: of its package. */
export async function installGo(path: string, version: string): Promise<string> {
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
  if (code !== 0) throw new Error(`go install: ${stderr}`);
  return installed;
}
