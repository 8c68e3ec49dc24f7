// `npm run executable`: the `piko` command as one file that needs no Node.js, `packages/piko/dist/executable/piko`. It
// consists of the Node.js that runs this script, with the command embedded (a single executable application).

import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inject } from "postject";
import { rolldown } from "rolldown";
import { BUNDLING } from "./bundle.mjs";
import { setUp } from "./setup.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "packages", "piko", "dist");
const folder = join(dist, "executable");
/** The marker by which Node.js recognizes that a program is embedded. */
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

if (process.platform !== "linux") throw new Error("an executable is made on Linux only");
await setUp();
mkdirSync(folder, { recursive: true });
const entry = join(folder, "piko.mjs");
const script = join(folder, "piko.cjs");
const blob = join(folder, "piko.blob");
const settings = join(folder, "sea.json");
const executable = join(folder, "piko");

const { version } = JSON.parse(readFileSync(join(dist, "..", "package.json"), "utf8"));
// Does the same as dist/main.js, but without top-level await, which CommonJS doesn't have.
writeFileSync(
  entry,
  'import { handleEarlySignal } from "../cli/early-signal.js"; import { main } from "../cli/main.js"; handleEarlySignal(); void main();',
);
const bundled = await rolldown({
  ...BUNDLING,
  input: entry,
  transform: { define: { PIKO_VERSION: JSON.stringify(version) } },
});
await bundled.write({ file: script, format: "cjs", codeSplitting: false });
await bundled.close();
writeFileSync(
  settings,
  JSON.stringify({ main: script, output: blob, disableExperimentalSEAWarning: true, useCodeCache: true }),
);
const { status, stderr } = spawnSync(process.execPath, ["--experimental-sea-config", settings]);
if (status !== 0) throw new Error(`Node.js made no blob of it: ${stderr}`);
rmSync(executable, { force: true });
copyFileSync(process.execPath, executable);
chmodSync(executable, 0o755);
await inject(executable, "NODE_SEA_BLOB", readFileSync(blob), { sentinelFuse: FUSE });
copyFileSync(join(dist, "bundle", "LICENSES.txt"), join(folder, "LICENSES.txt"));
for (const file of [entry, script, blob, settings]) rmSync(file);
console.log(`${executable} (piko ${version}, Node.js ${process.versions.node})`);
