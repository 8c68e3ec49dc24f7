// Packages that only tests need, and that aren't dependencies of the workspace: installed once, into .cache.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./tools.js";

/** Inside the workspace, so that `@piko/client` is found. */
const CACHE = fileURLToPath(new URL("../.cache", import.meta.url));

/**
 * Returns a folder with these files, which include package.json, and the dependencies that it names. If no registry has them,
 * the result is undefined and a message is written to stderr; in CI, it throws.
 */
export async function npmProject(
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const hash = createHash("sha256").update(JSON.stringify(files)).digest("hex");
  const folder = join(CACHE, `${name}-${hash.slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const begun = await mkdtemp(join(CACHE, `${name}-begun-`));
  for (const [file, content] of Object.entries(files)) await writeFile(join(begun, file), content);
  const { code, stderr } = await run("npm", ["install", "--ignore-scripts"], { cwd: begun });
  if (code !== 0) {
    await rm(begun, { recursive: true });
    const reason = `needs packages of a registry for ${name}: ${stderr}`;
    if (process.env["CI"] === "true") throw new Error(reason);
    process.stderr.write(`skipped: ${reason}\n`);
    return undefined;
  }
  await rename(begun, folder);
  return folder;
}
