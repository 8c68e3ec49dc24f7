// The packages as in a registry: packed by `npm pack` in a copy of the workspace, and installed outside of it.

import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Stage } from "../harness/stage.js";
import { run, type RunOptions, type ToolResult } from "../harness/tools.js";

export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** Names of the published packages, by their folders. */
export const PUBLISHED = { tunnel: "@piko/tunnel", client: "@piko/client", piko: "piko" } as const;
export type Folder = keyof typeof PUBLISHED;

/** Origin of the copy's Git repository. */
export const ORIGIN = "https://git.example.com/team/piko";

/** Runs a tool that must succeed. */
export async function must(name: string, args: readonly string[], options?: RunOptions): Promise<ToolResult> {
  const result = await run(name, args, options);
  if (result.code !== 0)
    throw new Error(`${name} ${args.join(" ")}: ${result.code}\n${result.stdout}${result.stderr}`);
  return result;
}

/** Path of a program among the workspace's dependencies. */
export function tool(name: string): string {
  return join(ROOT, "node_modules", ".bin", name);
}

/** Packs all packages in a copy, because packing changes files that other tests read; returns the tarballs by folder. */
export async function packAll(stage: Stage): Promise<Record<Folder, string>> {
  const copy = await stage.directory();
  await cp(join(ROOT, "scripts"), join(copy, "scripts"), { recursive: true });
  const folders = Object.keys(PUBLISHED) as Folder[];
  for (const folder of folders) {
    for (const each of ["dist", "src", "bin", "package.json", "README.md", "LICENSE"]) {
      const from = join(ROOT, "packages", folder, each);
      await cp(from, join(copy, "packages", folder, each), { recursive: true }).catch((error: unknown) => {
        if (each !== "bin") throw error;
      });
    }
  }
  // The packages are built already, so the copy needs no build.
  const scripts = { build: "node -e 0" };
  const workspace = { name: "workspace", private: true, workspaces: ["packages/*"], scripts };
  await writeFile(join(copy, "package.json"), JSON.stringify(workspace));
  await must("git", ["init", "-q"], { cwd: copy });
  await must("git", ["remote", "add", "origin", `${ORIGIN}.git`], { cwd: copy });
  const manifests = async (): Promise<string[]> =>
    await Promise.all(
      folders.map((folder) => readFile(join(copy, "packages", folder, "package.json"), "utf8")),
    );
  const before = await manifests();
  const destination = await stage.directory();
  const { stdout } = await must(
    "npm",
    ["pack", "--workspaces", "--json", "--pack-destination", destination, "--offline"],
    { cwd: copy },
  );
  const after = await manifests();
  if (before.join() !== after.join()) throw new Error("npm pack left a package.json changed");
  const packed = JSON.parse(stdout) as { name: string; filename: string }[];
  const tarballOf = (folder: Folder): [Folder, string] => {
    const found = packed.find(({ name }) => name === PUBLISHED[folder]);
    if (found === undefined) throw new Error(`npm pack made nothing of packages/${folder}`);
    return [folder, join(destination, found.filename)];
  };
  return Object.fromEntries(folders.map(tarballOf)) as Record<Folder, string>;
}

/** Creates a project and installs tarballs in it, without a network and without optional dependencies. */
export async function install(stage: Stage, ...tarballs: readonly string[]): Promise<string> {
  const project = await stage.directory();
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "project", private: true }));
  const flags = ["--offline", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"];
  await must("npm", ["install", ...flags, ...tarballs], { cwd: project });
  return project;
}

/** Adds dependencies of the workspace to a project. */
export async function borrow(project: string, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(project, "node_modules", name);
    await mkdir(join(path, ".."), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), path);
  }
}
