// The version of this package, which is the version of the program.

import { readFileSync } from "node:fs";

/** Put in by the bundler where no package.json is beside the program: in an executable. */
declare const PIKO_VERSION: string | undefined;

/** Reads the version from the package's own package.json. */
export function readVersion(): string {
  if (typeof PIKO_VERSION === "string") return PIKO_VERSION;
  // The same two steps up from src/cli and from dist/cli.
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { version?: unknown };
  return typeof version === "string" ? version : "unknown";
}
