// What Node's parser refuses in a service's response but this program accepts, by name (docs/decisions/002). Tests that
// compare with Node let it parse the response without these exceptions, which are removed here in a slow and obvious way.

/** Each removes one thing from the lines of a head or trailer section, or from a chunk's line. */
const EXCEPTIONS = {
  "white space before the colon of a field": {
    fields: (lines: string): string =>
      lines.replace(
        /^(?!(?:content-length|transfer-encoding)[ \t]*:)([!#$%&'*+\-.^_`|~\w]+)[ \t]+:/gim,
        "$1:",
      ),
    chunkLine: (line: string): string => line,
  },
  "white space in a chunk's line": {
    fields: (lines: string): string => lines,
    chunkLine: (line: string): string =>
      line.replace(
        /("(?:[^"\\]|\\.)*")|(?<=[;=])[ \t]+|[ \t]+(?=[;=\r])/g,
        (_blank, quoted: string | undefined) => quoted ?? "",
      ),
  },
};

/** The name of something that Node refuses and this program accepts. */
export type ResponseException = keyof typeof EXCEPTIONS;

export const RESPONSE_EXCEPTIONS = Object.keys(EXCEPTIONS) as ResponseException[];

/** A response without them. The names of those that it contained are added to `found`. */
export function withoutExceptions(
  bytes: Buffer,
  method: string,
  found: Set<ResponseException> = new Set(),
): Buffer {
  let rest = bytes.toString("latin1");
  let plain = "";
  const take = (end: number, what: "fields" | "chunkLine"): string => {
    let text = rest.slice(0, end);
    rest = rest.slice(end);
    for (const name of RESPONSE_EXCEPTIONS) {
      const without = EXCEPTIONS[name][what](text);
      if (without !== text) found.add(name);
      text = without;
    }
    plain += text;
    return text;
  };
  const takeFields = (): string => take(endAfter(rest, "\r\n\r\n"), "fields");
  let head = takeFields();
  while (/^HTTP\/1\.1 1\d\d/.test(head)) head = takeFields();
  const chunked = /^transfer-encoding:[ \t]*chunked *\r$/im.test(head);
  if (chunked && method !== "HEAD" && !/^HTTP\/1\.1 (204|304)/.test(head)) {
    let size: number;
    do {
      size = Number.parseInt(take(endAfter(rest, "\r\n"), "chunkLine"), 16);
      if (!(size > 0)) break;
      plain += rest.slice(0, size + 2);
      rest = rest.slice(size + 2);
    } while (rest !== "");
    if (size === 0 && !rest.startsWith("\r\n")) takeFields();
  }
  return Buffer.from(plain + rest, "latin1");
}

function endAfter(text: string, mark: string): number {
  const at = text.indexOf(mark);
  return at < 0 ? text.length : at + mark.length;
}
