// Removes secrets from the command line, which every user of the machine can read (`ps`), by overwriting it. Called before
// anything else happens.

import { REDACTED } from "../observability/redact.js";

/** The command line without its secrets; undefined if it has none. `secretFlags` are names such as `--connect.token`. */
export function hideSecrets(
  args: readonly string[],
  secretFlags: ReadonlySet<string>,
): readonly string[] | undefined {
  let found = false;
  const shown = args.map((arg, index) => {
    const [name = ""] = arg.split("=", 1);
    const joined = arg.length > name.length && secretFlags.has(name);
    if (!joined && !secretFlags.has(args[index - 1] ?? "")) return arg;
    found = true;
    return joined ? `${name}=${REDACTED}` : REDACTED;
  });
  return found ? shown : undefined;
}
