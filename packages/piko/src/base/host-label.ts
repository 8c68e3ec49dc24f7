// Endpoint ids as the first label of a host: most ids can be one, and browsers can reach only those.

const MAX_LABEL_LENGTH = 63;

/** Why an id can't be a host label that every client can use; undefined if it can. */
export function hostLabelProblem(id: string): string | undefined {
  if (id.includes(".")) return "it has a dot";
  if (/[A-Z]/.test(id)) return "it has capital letters";
  if (id.length > MAX_LABEL_LENGTH) return `it is longer than ${MAX_LABEL_LENGTH} characters`;
  // Underscores aren't allowed in hosts (RFC 952), but DNS and browsers accept them.
  return /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/.test(id)
    ? undefined
    : "it has other characters than letters, digits, - and _";
}
