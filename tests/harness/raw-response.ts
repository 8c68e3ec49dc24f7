// A small, strict parser of HTTP/1.1 responses for tests: it shows what was on the wire, including the framing.

export interface RawResponse {
  readonly status: number;
  readonly reason: string;
  /** Names as they were sent. */
  readonly fields: readonly (readonly [string, string])[];
  /** The body without its framing. */
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  readonly chunked: boolean;
  /** Length of the whole response on the wire. */
  readonly bytes: number;
  /** All values of a field, joined with ", "; undefined if it is absent. */
  field(name: string): string | undefined;
}

/** Parses the response at the start of `buffer`; undefined if it is incomplete. Throws if it isn't a response. */
export function parseResponse(buffer: Buffer, method: string, ended: boolean): RawResponse | undefined {
  const headEnd = buffer.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const lines = buffer.subarray(0, headEnd).toString("latin1").split("\r\n");
  const start = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(lines[0] ?? "");
  if (start === null) throw new Error(`not a status line: ${JSON.stringify(lines[0])}`);
  const status = Number(start[1]);
  const fields = lines.slice(1).map(parseField);
  const field = (name: string): string | undefined => find(fields, name);
  const bodyStart = headEnd + 4;
  const chunked = field("transfer-encoding")?.toLowerCase() === "chunked";
  const common = { status, reason: start[2] ?? "", fields, field, chunked };
  const whole = (body: Buffer, bytes: number, trailers: RawResponse["trailers"] = []): RawResponse => ({
    ...common,
    body,
    trailers,
    bytes,
  });
  const bodiless = method === "HEAD" || status < 200 || status === 204 || status === 304;
  if (bodiless) return whole(Buffer.alloc(0), bodyStart);
  if (chunked) return parseChunks(buffer, bodyStart, whole);
  const length = field("content-length");
  if (length !== undefined) {
    const bodyEnd = bodyStart + Number(length);
    return buffer.length < bodyEnd ? undefined : whole(buffer.subarray(bodyStart, bodyEnd), bodyEnd);
  }
  return ended ? whole(buffer.subarray(bodyStart), buffer.length) : undefined;
}

function parseField(line: string): readonly [string, string] {
  const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
  if (parts === null) throw new Error(`not a field line: ${JSON.stringify(line)}`);
  return [parts[1] ?? "", parts[2] ?? ""];
}

function find(fields: RawResponse["fields"], name: string): string | undefined {
  const values = fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
}

function parseChunks(
  buffer: Buffer,
  from: number,
  whole: (body: Buffer, bytes: number, trailers: RawResponse["trailers"]) => RawResponse,
): RawResponse | undefined {
  const pieces: Buffer[] = [];
  for (let at = from; ; ) {
    const lineEnd = buffer.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const line = buffer.subarray(at, lineEnd).toString("latin1");
    const size = /^([0-9a-fA-F]+)(;.*)?$/.exec(line);
    if (size === null) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
    const length = Number.parseInt(size[1] ?? "", 16);
    if (length === 0) return parseTrailers(buffer, lineEnd + 2, pieces, whole);
    const chunkEnd = lineEnd + 2 + length;
    if (buffer.length < chunkEnd + 2) return undefined;
    pieces.push(buffer.subarray(lineEnd + 2, chunkEnd));
    at = chunkEnd + 2;
  }
}

function parseTrailers(
  buffer: Buffer,
  from: number,
  pieces: readonly Buffer[],
  whole: (body: Buffer, bytes: number, trailers: RawResponse["trailers"]) => RawResponse,
): RawResponse | undefined {
  const trailers: (readonly [string, string])[] = [];
  for (let at = from; ; ) {
    const lineEnd = buffer.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    if (lineEnd === at) return whole(Buffer.concat(pieces), at + 2, trailers);
    trailers.push(parseField(buffer.subarray(at, lineEnd).toString("latin1")));
    at = lineEnd + 2;
  }
}
