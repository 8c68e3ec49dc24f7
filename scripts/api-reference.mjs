// The reference of @piko/client, made from the comments of its declarations by typedoc. typedoc has its own compiler,
// because the project's offers no API that it could use. Called by generate-docs.mjs.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("api-docs", import.meta.url));

/** The text of the page, without a heading. Throws typedoc's message if a comment is wrong. */
export function apiReference() {
  const out = mkdtempSync(join(tmpdir(), "piko-api-"));
  try {
    const command = join(FOLDER, "node_modules", ".bin", "typedoc");
    const args = ["--options", join(FOLDER, "typedoc.json"), "--out", out];
    execFileSync(command, args, { cwd: FOLDER, stdio: ["ignore", "ignore", "inherit"] });
    const text = readFileSync(join(out, "README.md"), "utf8");
    return text.replace(/^# .*\n/, "").trimStart();
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
