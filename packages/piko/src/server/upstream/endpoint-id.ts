// The rules for endpoint ids.

import { hasHidden } from "../../base/visible-text.js";

/** Maximum length of an endpoint id. It allows any host label, and fits into a gossip packet with room to spare. */
export const MAX_ENDPOINT_ID_BYTES = 255;

/** Maximum bytes of UTF-8 for one UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;

/** Whether an id is too long. Most are so short that their bytes needn't be counted. */
export function isTooLong(id: string): boolean {
  return (
    id.length * MAX_BYTES_PER_UNIT > MAX_ENDPOINT_ID_BYTES && Buffer.byteLength(id) > MAX_ENDPOINT_ID_BYTES
  );
}

/** Parses a path segment as an endpoint id; undefined if it is invalid. */
export function parseEndpointId(segment: string): string | undefined {
  let id: string;
  try {
    id = decodeURIComponent(segment);
  } catch {
    return undefined;
  }
  if (id === "" || isTooLong(id)) return undefined;
  // Invisible characters would make different ids look equal, and log lines misleading.
  return id.includes("/") || hasHidden(id) ? undefined : id;
}
