// The version of this package, which is the program's.

import { readFileSync } from "node:fs";

/** Defined by the bundler for executables, which have no package.json next to the program. */
declare const PIKO_VERSION: string | undefined;

/** Reads the version from the package's own package.json. */
export function readVersion(): string {
  if (typeof PIKO_VERSION === "string") return PIKO_VERSION;
  // Two levels up, both from src/cli and from dist/cli.
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { version?: unknown };
  return typeof version === "string" ? version : "unknown";
}
