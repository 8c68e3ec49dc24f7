// The reference of @piko/client, from the comments of its declarations: typedoc reads them, with a compiler of its own, since
// the project's has no programming interface that it could use. generate-docs.mjs calls this.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("api-docs", import.meta.url));

/** The page's text, without a heading. Throws with typedoc's words for a comment that says what isn't so. */
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
