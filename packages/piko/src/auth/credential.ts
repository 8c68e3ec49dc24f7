// Parses the value of `x-piko-authorization` or `Authorization` exactly as Go Piko does.

import { REFUSED, type Refusal } from "./refusal.js";

/** The token of a credential: everything after `Bearer` (case-sensitive) and one space. */
export function tokenOf(credential: string | undefined): { readonly token: string } | Refusal {
  if (credential === undefined || credential === "") return REFUSED.missing;
  const space = credential.indexOf(" ");
  if (space < 0) return REFUSED.malformed;
  if (credential.slice(0, space) !== "Bearer") return REFUSED.scheme;
  return { token: credential.slice(space + 1) };
}
