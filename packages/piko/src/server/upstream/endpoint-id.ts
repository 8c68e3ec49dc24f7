// What an endpoint id may be.

import { hasHidden } from "../../base/visible-text.js";

/** Longest endpoint id: what fits a gossip packet with room to spare, and any host label. */
export const MAX_ENDPOINT_ID_BYTES = 255;

/** The segment of a path as an endpoint id; undefined if it is none. */
export function parseEndpointId(segment: string): string | undefined {
  let id: string;
  try {
    id = decodeURIComponent(segment);
  } catch {
    return undefined;
  }
  if (id === "" || Buffer.byteLength(id) > MAX_ENDPOINT_ID_BYTES) return undefined;
  // Characters that can't be seen would make two ids look like one, and lines that name them say something else.
  return id.includes("/") || hasHidden(id) ? undefined : id;
}
