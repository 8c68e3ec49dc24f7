// The value of `x-piko-authorization` or `Authorization`, taken apart exactly as Go Piko does.

import { REFUSED, type Refusal } from "./refusal.js";

/** The token of a credential: after `Bearer` in this spelling and one space, as it is. */
export function tokenOf(credential: string | undefined): { readonly token: string } | Refusal {
  if (credential === undefined || credential === "") return REFUSED.missing;
  const space = credential.indexOf(" ");
  if (space < 0) return REFUSED.malformed;
  if (credential.slice(0, space) !== "Bearer") return REFUSED.scheme;
  return { token: credential.slice(space + 1) };
}
