// Environment variables in configuration files (`--config.expand-env`), expanded over the raw text, comments
// included, before it is read as YAML.

// After the dollar: a braced name, an opened brace that never closes, a one-character name of the shell, or a name.
const REFERENCE = /\$(?:\{([^}]*)\}|(\{)|([*#$@!?\-0-9])|([A-Za-z0-9_]+))?/g;

/**
 * Replaces `$NAME`, `${NAME}` and `${NAME:default}`; the default is used when the variable is unset or empty, and
 * an unset variable without one becomes nothing. `$$` is a literal dollar. A dollar before any other character stays.
 */
export function expandEnv(text: string, env: Readonly<Record<string, string | undefined>>): string {
  return text.replace(
    REFERENCE,
    (match: string, braced?: string, open?: string, special?: string, name?: string) => {
      if (special === "$") return "$";
      if (braced !== undefined) return expandBraced(braced, env);
      if (open !== undefined) return "";
      const variable = special ?? name;
      return variable === undefined ? match : (env[variable] ?? "");
    },
  );
}

function expandBraced(reference: string, env: Readonly<Record<string, string | undefined>>): string {
  const colon = reference.indexOf(":");
  if (colon < 0) return env[reference] ?? "";
  return env[reference.slice(0, colon)] || reference.slice(colon + 1);
}
