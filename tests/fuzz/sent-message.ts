// Parses a forwarded message in the slow and obvious way, into the parts that must not depend on how the bytes arrived. The
// positions of its chunks may differ.

/** A message without the framing of its body; each byte is one character. */
export interface SentMessage {
  /** The heads of interim responses, followed by the message's own. */
  readonly heads: string;
  readonly body: string;
  /** The field lines after the last chunk. */
  readonly trailers: string;
}

/** Returns undefined for bytes that this program never writes. */
export function parseSent(bytes: Buffer): SentMessage | undefined {
  const text = bytes.toString("latin1");
  const heads = /^(?:HTTP\/1\.1 1.*?\r\n\r\n)*.*?\r\n\r\n/s.exec(text)?.[0];
  if (heads === undefined) return undefined;
  let rest = text.slice(heads.length);
  if (rest === "" || !/\r\nTransfer-Encoding: chunked\r\n/.test(heads)) {
    return { heads, body: rest, trailers: "" };
  }
  let body = "";
  for (;;) {
    const line = /^(0|[1-9a-f][0-9a-f]*)\r\n/.exec(rest);
    if (line === null) return undefined;
    const size = Number.parseInt(line[0], 16);
    rest = rest.slice(line[0].length);
    if (size === 0) break;
    if (rest.slice(size, size + 2) !== "\r\n") return undefined;
    body += rest.slice(0, size);
    rest = rest.slice(size + 2);
  }
  if (!/^([^\r\n]+\r\n)*\r\n$/.test(rest)) return undefined;
  return { heads, body, trailers: rest.slice(0, -2) };
}

/** Whether two messages differ at most in their chunks. */
export function isRechunked(left: Buffer, right: Buffer): boolean {
  const [one, other] = [parseSent(left), parseSent(right)];
  if (one === undefined || other === undefined) return false;
  return one.heads === other.heads && one.body === other.body && one.trailers === other.trailers;
}
