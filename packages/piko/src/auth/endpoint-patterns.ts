// The endpoints of a token or a tenant: ids in which each `*` matches any characters, including none.

/** A list of patterns; an empty list matches everything. */
export class EndpointPatterns {
  readonly patterns: readonly string[];
  readonly #exact: ReadonlySet<string>;
  /** For each pattern with a star, the texts between its stars. */
  readonly #parts: readonly (readonly string[])[];

  constructor(patterns: readonly string[]) {
    this.patterns = patterns;
    this.#exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
    this.#parts = patterns.filter((pattern) => pattern.includes("*")).map((pattern) => pattern.split("*"));
  }

  /** Whether an id matches; case-sensitive. */
  match(endpointId: string): boolean {
    if (this.patterns.length === 0 || this.#exact.has(endpointId)) return true;
    for (const parts of this.#parts) if (matches(parts, endpointId)) return true;
    return false;
  }
}

/** Looks for each part at its first possible position: if the text matches at all, it matches this way, in one pass. */
function matches(parts: readonly string[], text: string): boolean {
  const first = parts[0] as string;
  const last = parts[parts.length - 1] as string;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (let index = 1; index < parts.length - 1; index++) {
    const part = parts[index] as string;
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
