// Filters the fields after a body, by the same rules as HTTP/1.1's.

import { TrailerSection } from "../h1/trailer-section.js";

/**
 * `lines`: field lines with a blank one after them. Returns those that may go on, undefined for none, null if the section
 * can't be one. Few messages have any but gRPC's.
 */
export function filterTrailers(lines: Buffer): Buffer | undefined | null {
  const section = new TrailerSection(false);
  if (!section.append(lines, 0, lines.length) || !section.filter()) return null;
  return section.length > 2 ? section.lines : undefined;
}
