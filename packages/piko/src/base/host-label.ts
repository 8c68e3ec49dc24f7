// Endpoint ids as the first label of a host: most ids can be one, and browsers reach no others.

const MAX_LABEL_LENGTH = 63;

/** Why an id can't be a label of a host that every client can ask for; undefined if it can. */
export function whyNoHostLabel(id: string): string | undefined {
  if (id.includes(".")) return "it has a dot";
  if (/[A-Z]/.test(id)) return "it has capital letters";
  if (id.length > MAX_LABEL_LENGTH) return `it is longer than ${MAX_LABEL_LENGTH} characters`;
  // An underscore isn't for hosts (RFC 952), but DNS and browsers take it.
  return /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/.test(id)
    ? undefined
    : "it has other characters than letters, digits, - and _";
}
