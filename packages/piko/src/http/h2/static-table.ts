// The static table of HPACK (RFC 7541 appendix A).

/** The fields of the table; the first one has index 1. */
const FIELDS: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...[
    ...["accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age", "allow"],
    ...["authorization", "cache-control", "content-disposition", "content-encoding", "content-language"],
    ...["content-length", "content-location", "content-range", "content-type", "cookie", "date", "etag"],
    ...["expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range"],
    ...["if-unmodified-since", "last-modified", "link", "location", "max-forwards", "proxy-authenticate"],
    ...["proxy-authorization", "range", "referer", "refresh", "retry-after", "server", "set-cookie"],
    ...["strict-transport-security", "transfer-encoding", "user-agent", "vary", "via", "www-authenticate"],
  ].map((name) => [name, ""] as const),
];

/** Number of entries in the table; indexes of the dynamic table follow. */
export const STATIC_ENTRIES: number = FIELDS.length;

/** Names and values by index; index 0 is unused. */
export const STATIC_NAMES: readonly Buffer[] = ["", ...FIELDS.map(([name]) => name)].map(bytesOf);
export const STATIC_VALUES: readonly Buffer[] = ["", ...FIELDS.map(([, value]) => value)].map(bytesOf);

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** The index of `:status` with this value, or 0. */
export function statusIndex(status: number): number {
  const text = String(status);
  const at = FIELDS.findIndex(([name, value]) => name === ":status" && value === text);
  return at + 1;
}

/** The first index of each name. */
export const STATIC_INDEX: ReadonlyMap<string, number> = new Map(
  FIELDS.map(([name], at) => [name, at + 1] as const).reverse(),
);
