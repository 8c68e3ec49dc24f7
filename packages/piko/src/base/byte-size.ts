// Sizes in bytes in the form used in settings: a plain number, or a number with a binary unit (`64KiB`, `1MiB`).

const UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["B", 1],
  ["KiB", 2 ** 10],
  ["MiB", 2 ** 20],
  ["GiB", 2 ** 30],
]);

/**
 * Parses a size into bytes.
 *
 * @throws RangeError that quotes the text.
 */
export function parseByteSize(text: string): number {
  const parts = /^(\d{1,15})\s*([A-Za-z]*)$/.exec(text);
  const unit = UNITS.get(parts?.[2] ?? "?");
  const bytes = Number(parts?.[1]) * (unit ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) {
    throw new RangeError(
      `invalid size ${JSON.stringify(text)}: must be a number of bytes, such as 65536 or 64KiB`,
    );
  }
  return bytes;
}
