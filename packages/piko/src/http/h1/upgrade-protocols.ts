// Which protocols of an Upgrade field the proxy accepts. Called by parse-request-head.ts for requests that ask for an
// upgrade.

import * as ascii from "../ascii.js";
import { asciiBytes, equalsIgnoringCase, trimEnd, trimStart } from "../ascii.js";

// Local copies: see ascii.ts.
const { COMMA, SLASH } = ascii;

const H2C = asciiBytes("h2c");
const HTTP = asciiBytes("http");
const TLS = asciiBytes("tls");

/**
 * Whether the list `buffer[start, end)` names HTTP itself, in another version or over TLS: `h2c`, `HTTP/2.0`, `TLS/1.0`.
 * Requests inside such a connection would bypass all rules of the proxy, so the upgrade is ignored.
 */
export function listsHttp(buffer: Uint8Array, start: number, end: number): boolean {
  let i = start;
  while (i < end) {
    let next = i;
    while (next < end && buffer[next] !== COMMA) next++;
    const from = trimStart(buffer, i, next);
    let nameEnd = from;
    while (nameEnd < next && buffer[nameEnd] !== SLASH) nameEnd++;
    nameEnd = trimEnd(buffer, from, nameEnd);
    if (equalsIgnoringCase(buffer, from, nameEnd, H2C) || equalsIgnoringCase(buffer, from, nameEnd, HTTP))
      return true;
    if (equalsIgnoringCase(buffer, from, nameEnd, TLS)) return true;
    i = next + 1;
  }
  return false;
}
