// The example with Next, with its dependencies. They are as large as all others together, so they are installed only for its
// test.

import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { npmProject } from "./npm-project.js";

const EXAMPLE = fileURLToPath(new URL("../../examples/next", import.meta.url));

/** A copy of the example that can be started; undefined if its dependencies can't be installed. */
export async function nextProject(): Promise<string | undefined> {
  const read = (name: string): Promise<string> => readFile(join(EXAMPLE, name), "utf8");
  const folder = await npmProject("next", {
    "package.json": await read("package.json"),
    "package-lock.json": await read("package-lock.json"),
  });
  if (folder === undefined) return undefined;
  for (const name of ["app", "next.config.mjs", "server.mjs"])
    await cp(join(EXAMPLE, name), join(folder, name), { recursive: true });
  return folder;
}
