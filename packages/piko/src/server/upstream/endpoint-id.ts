// What an endpoint id may be.

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
  return /^[^/\p{Cc}]+$/u.test(id) ? id : undefined;
}
