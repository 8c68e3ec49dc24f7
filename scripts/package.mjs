// Prepares a package for `npm pack` and `npm publish`: the `prepack` and `postpack` scripts of packages/tunnel, client and
// piko call this. Each package is published alone: the parts of other packages that it uses are included under lib/, so that
// its tarball needs nothing that isn't in a registry. docs/decisions/017-packages.md has the reasons. `piko` is published as
// its bundle (scripts/bundle.mjs).
//
// lib/PACKAGE/dist and lib/PACKAGE/src are next to each other, so that source maps lead to sources. lib/cjs has the same
// declarations for CommonJS, whose modules load the ES modules, so that there is one instance, however it is loaded.

import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";

const folder = process.cwd();
const packages = dirname(folder);
const name = basename(folder);

/** The packages that are included in each published one. */
const PARTS = { tunnel: ["tunnel"], client: ["client", "tunnel"] };
/** Entry files of the names by which the packages import each other. */
const ENTRIES = {
  "@piko/tunnel": "tunnel/dist/index.js",
  "@piko/client": "client/dist/index.js",
  "@piko/client/internal": "client/dist/internal.js",
};
/** Files that differ in the workspace; the originals are kept next to them meanwhile. */
const CHANGED = ["package.json", "README.md"];

/** Creates lib/, and replaces package.json and README by the published ones: npm reads them again after `prepack`. */
function prepare() {
  // Restores files that an aborted run left.
  restore();
  const workspace = readJson(join(folder, "package.json"));
  const lib = join(folder, "lib");
  if (name === "piko") {
    copyCommand(join(lib, "piko"), workspace);
  } else {
    for (const part of PARTS[name]) copyPart(part, lib);
    copyDeclarations(lib);
  }
  const repository = repositoryUrl();
  const published = `${JSON.stringify(publishedManifest(workspace, repository), null, 2)}\n`;
  const readme = publishedPage(readFileSync(join(folder, "README.md"), "utf8"), repository);
  for (const file of CHANGED) renameSync(join(folder, file), keptPath(file));
  writeFileSync(join(folder, "package.json"), published);
  writeFileSync(join(folder, "README.md"), readme);
}

function restore() {
  rmSync(join(folder, "lib"), { recursive: true, force: true });
  for (const file of CHANGED) if (existsSync(keptPath(file))) renameSync(keptPath(file), join(folder, file));
}

/** The original's path. It doesn't begin with README, because npm packs such files whatever `files` contains. */
function keptPath(file) {
  return join(folder, `workspace.${file}`);
}

/** A README whose links lead to the repository, or become plain text if the repository has no address. */
function publishedPage(text, repository) {
  return text.replace(/\[([^\]]+)\]\((?!\w+:|#)([^)]+)\)/g, (_all, label, path) => {
    const target = posix(join("packages", name, path)).replace("./", "");
    return repository === undefined ? label : `[${label}](${repository}/blob/HEAD/${target})`;
  });
}

/** Copies the command, whose bundle contains everything that it uses. */
function copyCommand(to, { version }) {
  for (const part of ["bin", "dist/bundle"]) cpSync(join(folder, part), join(to, part), { recursive: true });
  writeJson(join(to, "package.json"), { name, version, type: "module" });
}

/** Copies a package's build, and the sources that its maps refer to. */
function copyPart(part, lib) {
  const from = join(packages, part);
  if (!existsSync(join(from, "dist"))) throw new Error(`packages/${part} isn't built: npm run build`);
  for (const path of filesOf(join(from, "dist"))) {
    // The compiler keeps its output for sources that have since been deleted.
    if (!existsSync(join(from, "src", path.replace(/\.(js|d\.ts)(\.map)?$/, ".ts")))) continue;
    const to = join(part, "dist", path);
    write(join(lib, to), inPlace(readFileSync(join(from, "dist", path), "utf8"), to));
  }
  for (const path of filesOf(join(from, "src"))) {
    if (!path.endsWith(".test.ts"))
      write(join(lib, part, "src", path), readFileSync(join(from, "src", path)));
  }
}

/** Copies the declarations again for CommonJS modules. */
function copyDeclarations(lib) {
  for (const part of PARTS[name]) {
    for (const path of filesOf(join(lib, part, "dist"))) {
      const text = readFileSync(join(lib, part, "dist", path), "utf8");
      const to = join(lib, "cjs", part, "dist", path);
      if (path.endsWith(".d.ts")) write(to, text);
      if (!path.endsWith(".d.ts.map")) continue;
      const map = JSON.parse(text);
      map.sources = map.sources.map((source) =>
        posix(relative(dirname(to), join(dirname(join(lib, part, "dist", path)), source))),
      );
      write(to, JSON.stringify(map));
    }
  }
  const entry = join(name, "dist", "index.js");
  const target = posix(relative(join("cjs", dirname(entry)), entry));
  write(join(lib, "cjs", entry), `module.exports = require("${target}");\n`);
  writeJson(join(lib, "cjs", "package.json"), { type: "commonjs" });
}

/** A module or declaration with package names replaced by paths. */
function inPlace(text, path) {
  if (!/\.(js|d\.ts)$/.test(path)) return text;
  return text.replace(/(from |import\()"(@piko\/[a-z/]+)"/g, (_all, before, specifier) => {
    const entry = ENTRIES[specifier];
    if (entry === undefined) throw new Error(`${path} imports ${specifier}, which isn't published`);
    return `${before}"${posix(relative(dirname(path), entry))}"`;
  });
}

function publishedManifest(workspace, repository) {
  const entry = `${name}/dist/index`;
  const forms = {
    import: { types: `./lib/${entry}.d.ts`, default: `./lib/${entry}.js` },
    require: { types: `./lib/cjs/${entry}.d.ts`, default: `./lib/cjs/${entry}.js` },
  };
  // The peer dependencies of the included tunnel package apply here too.
  const { peerDependencies, peerDependenciesMeta } = readJson(join(packages, "tunnel", "package.json"));
  const library = {
    main: forms.require.default,
    types: forms.require.types,
    exports: { ".": forms, "./package.json": "./package.json" },
    sideEffects: false,
    peerDependencies,
    peerDependenciesMeta,
  };
  return {
    ...workspace,
    // Only the workspace needs these.
    scripts: undefined,
    devDependencies: undefined,
    ...(repository === undefined ? {} : origin(repository)),
    ...(name === "piko" ? { bin: { piko: "lib/piko/bin/piko.js" } } : library),
    files: ["lib"],
    dependencies: outside(workspace.dependencies),
  };
}

/** Where the package comes from. For its provenance, a registry requires the address of the repository that was built. */
function origin(repository) {
  return {
    repository: { type: "git", url: `git+${repository}.git`, directory: `packages/${name}` },
    homepage: `${repository}/tree/HEAD/packages/${name}#readme`,
    bugs: `${repository}/issues`,
    publishConfig: { access: "public", provenance: true },
  };
}

/** The public address of this clone's repository, without `.git`; undefined if it has none. */
function repositoryUrl() {
  let url;
  try {
    url = execFileSync("git", ["remote", "get-url", "origin"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch {
    return undefined;
  }
  const [, host, path] =
    /^(?:https:\/\/(?:[^@/]*@)?|(?:ssh:\/\/)?git@)([^:/]+)[:/](.+?)(?:\.git)?\/?\s*$/.exec(url) ?? [];
  return host === undefined ? undefined : `https://${host}/${path}`;
}

/** Dependencies that aren't included in the package. */
function outside(dependencies = {}) {
  return Object.fromEntries(Object.entries(dependencies).filter(([each]) => !(each in ENTRIES)));
}

function filesOf(path) {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(path, join(entry.parentPath, entry.name)));
}

function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

function write(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

function writeJson(path, value) {
  write(path, `${JSON.stringify(value)}\n`);
}

function posix(path) {
  const text = path.split(sep).join("/");
  return text.startsWith(".") ? text : `./${text}`;
}

const [step] = process.argv.slice(2);
if (step === "prepare") prepare();
else if (step === "restore") restore();
else throw new Error(`prepare or restore, not ${step}`);
