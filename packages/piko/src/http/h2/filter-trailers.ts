// Filters the fields after a body, by the same rules as in HTTP/1.1.

import { TrailerSection } from "../h1/trailer-section.js";

/**
 * `lines`: field lines, followed by a blank line. Returns the lines that may be passed on, undefined if there are none, or
 * null if the section is invalid. Apart from gRPC's, few messages have trailers.
 */
export function filterTrailers(lines: Buffer): Buffer | undefined | null {
  const section = new TrailerSection(false);
  if (!section.append(lines, 0, lines.length) || !section.filter()) return null;
  return section.length > 2 ? section.lines : undefined;
}
