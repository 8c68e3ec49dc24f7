// Parses /etc/hosts and /etc/resolv.conf for a host name: its addresses, or the names to query. Only the text is parsed here;
// host-lookup.ts reads the files.

import { isIP } from "node:net";

/** How names are completed; from resolv.conf(5). */
export interface SearchRules {
  readonly domains: readonly string[];
  /** A name with this many dots is first looked up unchanged, then with the domains. */
  readonly ndots: number;
}

const MAX_NDOTS = 15;

/** Parses resolv.conf, except its name servers: the resolver library reads those. */
export function parseSearchRules(text: string): SearchRules {
  let domains: readonly string[] = [];
  let ndots = 1;
  for (const [keyword, ...words] of fieldsOf(text, /[#;]/)) {
    // The last of these lines takes effect.
    if (keyword === "search" || keyword === "domain") domains = words.map((word) => word.replace(/\.$/, ""));
    if (keyword !== "options") continue;
    for (const word of words) {
      const number = /^ndots:(\d+)$/.exec(word)?.[1];
      if (number !== undefined) ndots = Math.min(Number(number), MAX_NDOTS);
    }
  }
  return { domains: domains.filter((domain) => domain !== ""), ndots };
}

/** The names to query, in order; a name that ends with a dot is complete. */
export function listNames(name: string, { domains, ndots }: SearchRules): readonly string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const completed = domains.map((domain) => `${name}.${domain}`);
  const dots = name.split(".").length - 1;
  return dots >= ndots ? [name, ...completed] : [...completed, name];
}

/** The addresses of a name in a hosts(5) file. */
export function findInHosts(text: string, name: string): readonly string[] {
  const wanted = name.replace(/\.$/, "").toLowerCase();
  const found: string[] = [];
  for (const [address = "", ...names] of fieldsOf(text, /#/)) {
    if (isIP(address) !== 0 && names.some((each) => each.toLowerCase() === wanted)) found.push(address);
  }
  return found;
}

/** `localhost`, which is this host by definition. */
export function isLocalhost(name: string): boolean {
  return /^localhost\.?$/i.test(name);
}

/** A name such as `app.localhost`, which is this host unless the hosts file says otherwise. */
export function isBelowLocalhost(name: string): boolean {
  return /\.localhost\.?$/i.test(name);
}

function fieldsOf(text: string, comment: RegExp): string[][] {
  return text
    .split("\n")
    .map((line) => (line.split(comment)[0] ?? "").trim())
    .filter((line) => line !== "")
    .map((line) => line.split(/\s+/));
}
