// The example with Next, with its dependencies: they are as large as all others together, so that they are installed for its
// test alone, once into .cache.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./tools.js";

const EXAMPLE = fileURLToPath(new URL("../../examples/next", import.meta.url));
/** Below the workspace, where `@piko/client` is found. */
const CACHE = fileURLToPath(new URL("../.cache", import.meta.url));
const SOURCES = ["app", "next.config.mjs", "package.json", "package-lock.json", "server.mjs"];

/** A copy of the example that can be started; undefined, and said on stderr, where no registry gives its dependencies. */
export async function nextProject(): Promise<string | undefined> {
  const lock = await readFile(join(EXAMPLE, "package-lock.json"));
  const folder = join(CACHE, `next-${createHash("sha256").update(lock).digest("hex").slice(0, 12)}`);
  if (!existsSync(folder)) {
    await mkdir(CACHE, { recursive: true });
    const begun = await mkdtemp(join(CACHE, "next-begun-"));
    for (const name of ["package.json", "package-lock.json"])
      await cp(join(EXAMPLE, name), join(begun, name));
    const { code, stderr } = await run("npm", ["ci", "--ignore-scripts"], { cwd: begun });
    if (code !== 0) {
      await rm(begun, { recursive: true });
      const reason = `needs Next, which can't be installed: ${stderr}`;
      if (process.env["CI"] === "true") throw new Error(reason);
      process.stderr.write(`skipped: ${reason}\n`);
      return undefined;
    }
    await rename(begun, folder);
  }
  for (const name of SOURCES) await cp(join(EXAMPLE, name), join(folder, name), { recursive: true });
  return folder;
}
