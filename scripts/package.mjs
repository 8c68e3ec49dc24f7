// What `npm pack` and `npm publish` send of a package: the `prepack` and `postpack` of packages/tunnel, client and piko call
// this. Each goes out alone: what it uses of the other packages lies in it, under lib/, so that its tarball needs nothing that
// no registry has. docs/decisions/017-packages.md says why. `piko` goes out as its bundle (scripts/bundle.mjs).
//
// lib/PACKAGE/dist and lib/PACKAGE/src stand beside each other, so that source maps lead to sources. lib/cjs has the same
// declarations for CommonJS, whose modules load those of ECMAScript: one instance, however it is loaded.

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

/** Which packages lie in which. */
const PARTS = { tunnel: ["tunnel"], client: ["client", "tunnel"] };
/** Files behind the names by which the packages know each other. */
const ENTRIES = {
  "@piko/tunnel": "tunnel/dist/index.js",
  "@piko/client": "client/dist/index.js",
  "@piko/client/internal": "client/dist/internal.js",
};
/** What looks otherwise in the workspace, which is kept beside it meanwhile. */
const CHANGED = ["package.json", "README.md"];

/** Makes lib/, and puts the published package.json and README in place: npm reads them again behind `prepack`. */
function prepare() {
  // Left over where packing was ended by force.
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

/** npm packs every file whose name begins with README, whatever `files` says. */
function keptPath(file) {
  return join(folder, `workspace.${file}`);
}

/** A README whose links lead to the repository, or are none where it has no address. */
function publishedPage(text, repository) {
  return text.replace(/\[([^\]]+)\]\((?!\w+:|#)([^)]+)\)/g, (_all, label, path) => {
    const target = posix(join("packages", name, path)).replace("./", "");
    return repository === undefined ? label : `[${label}](${repository}/blob/HEAD/${target})`;
  });
}

/** Copies the command: its bundle holds whatever it uses. */
function copyCommand(to, { version }) {
  for (const part of ["bin", "dist/bundle"]) cpSync(join(folder, part), join(to, part), { recursive: true });
  writeJson(join(to, "package.json"), { name, version, type: "module" });
}

/** Copies what was built of a package, and the sources that its maps name. */
function copyPart(part, lib) {
  const from = join(packages, part);
  if (!existsSync(join(from, "dist"))) throw new Error(`packages/${part} isn't built: npm run build`);
  for (const path of filesOf(join(from, "dist"))) {
    // The compiler leaves what it made of a source that is gone since.
    if (!existsSync(join(from, "src", path.replace(/\.(js|d\.ts)(\.map)?$/, ".ts")))) continue;
    const to = join(part, "dist", path);
    write(join(lib, to), inPlace(readFileSync(join(from, "dist", path), "utf8"), to));
  }
  for (const path of filesOf(join(from, "src"))) {
    if (!path.endsWith(".test.ts"))
      write(join(lib, part, "src", path), readFileSync(join(from, "src", path)));
  }
}

/** The declarations once more, as those of CommonJS modules. */
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

/** A module or its declaration with the names of packages made paths. */
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
  // What a part of it would rather have, it would too.
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
    // Those of the workspace, which have no place in a package.
    scripts: undefined,
    devDependencies: undefined,
    ...(repository === undefined ? {} : origin(repository)),
    ...(name === "piko" ? { bin: { piko: "lib/piko/bin/piko.js" } } : library),
    files: ["lib"],
    dependencies: outside(workspace.dependencies),
  };
}

/** Where the package comes from. A registry's proof of it needs the address to be that of the build. */
function origin(repository) {
  return {
    repository: { type: "git", url: `git+${repository}.git`, directory: `packages/${name}` },
    homepage: `${repository}/tree/HEAD/packages/${name}#readme`,
    bugs: `${repository}/issues`,
    publishConfig: { access: "public", provenance: true },
  };
}

/** The public address of the repository that this clone is of, without `.git`; undefined where it has none. */
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

/** Dependencies that don't lie in the package. */
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
