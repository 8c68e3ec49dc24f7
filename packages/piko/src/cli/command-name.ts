// The name of this program in hints: the one with which the reader started it.

/** `npx piko` if npx started it, otherwise `piko`. */
export function commandName(env: Readonly<Record<string, string | undefined>>): string {
  return env["npm_command"] === "exec" ? "npx piko" : "piko";
}
