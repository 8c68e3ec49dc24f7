// What hints call this program: as the person who reads them has called it.

/** `npx piko` where npx has started it, else `piko`. */
export function commandName(env: Readonly<Record<string, string | undefined>>): string {
  return env["npm_command"] === "exec" ? "npx piko" : "piko";
}
