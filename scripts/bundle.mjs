// The `piko` command as a few modules, `packages/piko/dist/bundle`: the compiler's output for this workspace, with the
// packages that it uses. It starts in half the CPU time and has no dependencies (docs/decisions/017-packages.md). Part of
// `npm run build`; on its own: `node scripts/bundle.mjs`, after the compiler.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "packages", "piko", "dist");
const BUNDLE = join(dist, "bundle");
const LICENSES = "LICENSES.txt";

/** Options for every form of bundle. */
export const BUNDLING = {
  platform: "node",
  // Native code that may be missing.
  external: ["bufferutil"],
  logLevel: "warn",
};

/** Writes the bundle if it differs from the compiler's output. Also called before system tests. */
export default async function bundle() {
  // Imported only when needed, because a fresh clone installs it first.
  const { rolldown } = await import("rolldown");
  const bundled = await rolldown({
    ...BUNDLING,
    cwd: root,
    // A separate entry: the version of Node.js is checked before anything else is loaded.
    input: { main: join(dist, "main.js"), "node-version": join(dist, "cli", "node-version.js") },
  });
  // A command loads only what it needs: `piko agent` loads no gossip.
  const { output } = await bundled.generate({ format: "esm" });
  await bundled.close();
  const files = new Map(output.map((chunk) => [chunk.fileName, chunk.code]));
  files.set(LICENSES, licensesOf(output.flatMap(({ moduleIds }) => moduleIds)));
  mkdirSync(BUNDLE, { recursive: true });
  for (const [name, text] of files) replace(join(BUNDLE, name), text);
  for (const name of readdirSync(BUNDLE)) if (!files.has(name)) rmSync(join(BUNDLE, name));
}

/** Replaces a file atomically, because a program may be starting from the existing one. */
function replace(path, text) {
  if (existsSync(path) && readFileSync(path, "utf8") === text) return;
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** The licenses of the bundled packages, which accompany the bundle. */
function licensesOf(modules) {
  const packages = new Set(modules.map((path) => /^\/.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]));
  packages.delete(undefined);
  const parts = [...packages].toSorted().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    if (file === undefined) throw new Error(`${relative(root, folder)} has no license file`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return parts.join(`\n${"-".repeat(80)}\n\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
