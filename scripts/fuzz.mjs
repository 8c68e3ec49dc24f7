// `npm run fuzz -- --cases N --seed S`: bundles tests/fuzz with the sources that it tests into one file, and runs it.
// `--seconds T` limits the time, `--case I` repeats a single case of a seed. `npm run fuzz -- gossip --packets N --seed S`
// does the same with encrypted gossip, `npm run fuzz -- h2 --frames N --seed S` with HTTP/2 frames.

import { build } from "esbuild";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "piko-fuzz-"));
const entry = { gossip: "gossip-main.ts", h2: "h2-main.ts" }[process.argv[2]] ?? "main.ts";
const outfile = join(directory, "fuzz.mjs");

try {
  await build({
    entryPoints: [join(root, "tests", "fuzz", entry)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    // For dependencies that aren't ES modules.
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
    logLevel: "warning",
  });
  const args = ["--enable-source-maps", "--expose-gc", outfile, ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { stdio: "inherit", cwd: root });
  process.exitCode = await new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
