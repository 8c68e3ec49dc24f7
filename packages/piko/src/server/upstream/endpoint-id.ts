// The rules for endpoint ids.

import { hasHidden } from "../../base/visible-text.js";

/** Maximum length of an endpoint id: what fits a gossip packet with room to spare, and any host label. */
export const MAX_ENDPOINT_ID_BYTES = 255;

/** A character of a string has at most as many bytes of UTF-8. */
const MAX_BYTES_PER_UNIT = 3;

/** Whether an id is longer than any can be. Most are so short that nothing has to be counted. */
export function isTooLong(id: string): boolean {
  return (
    id.length * MAX_BYTES_PER_UNIT > MAX_ENDPOINT_ID_BYTES && Buffer.byteLength(id) > MAX_ENDPOINT_ID_BYTES
  );
}

/** The segment of a path as an endpoint id; undefined if it is none. */
export function parseEndpointId(segment: string): string | undefined {
  let id: string;
  try {
    id = decodeURIComponent(segment);
  } catch {
    return undefined;
  }
  if (id === "" || isTooLong(id)) return undefined;
  // Characters that can't be seen would make two ids look like one, and lines that name them say something else.
  return id.includes("/") || hasHidden(id) ? undefined : id;
}
