// The requests that reached the service, without what may differ: fields that the proxy adds, and where chunks end.

/** Removes the lines that the proxy adds by itself; whatever a client has put into them is kept. */
export function withoutForwardedFields(request: string): string {
  const host = /^host: ?([^\r]*)/im.exec(request)?.[1] ?? "";
  const added = new Set(
    ["For: 127.0.0.1", "Proto: http", `Host: ${host}`].map((line) => `X-Forwarded-${line}`),
  );
  const headEnd = request.indexOf("\r\n\r\n");
  const lines = request.slice(0, headEnd).split("\r\n");
  // The id that a node generates; a client's id has another form.
  const own = lines.filter((line) => !added.has(line) && !/^X-Request-Id: [0-9a-f]{20}$/.test(line));
  return own.join("\r\n") + request.slice(headEnd);
}

/** Merges the chunks of each chunked body into one: each hop decides where chunks end. */
export function inOneChunk(requests: string): string {
  let done = "";
  let rest = requests;
  while (rest !== "") {
    const head = /^[^]*?\r\n\r\n/.exec(rest)?.[0] ?? rest;
    done += head;
    rest = rest.slice(head.length);
    if (!/^transfer-encoding: *chunked\r$/im.test(head)) {
      const length = Number(/^content-length: *(\d+)\r$/im.exec(head)?.[1] ?? 0);
      done += rest.slice(0, length);
      rest = rest.slice(length);
      continue;
    }
    let body = "";
    for (let line = /^([1-9a-f][0-9a-f]*)\r\n/.exec(rest); line !== null; ) {
      const start = line[0].length;
      const end = start + Number.parseInt(line[1] as string, 16);
      body += rest.slice(start, end);
      rest = rest.slice(end + 2);
      line = /^([1-9a-f][0-9a-f]*)\r\n/.exec(rest);
    }
    const end = /^0\r\n(?:[^\r]+\r\n)*\r\n/.exec(rest)?.[0] ?? rest;
    done += `${body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`}${end}`;
    rest = rest.slice(end.length);
  }
  return done;
}

/**
 * The meaning of a message, without the case of names, the order of fields with different names, and the white space around
 * values.
 */
export interface Meaning {
  readonly line: string;
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

const CHUNKED = /^(?:[1-9a-f][0-9a-f]*\r\n([^]*?)\r\n)?0\r\n((?:[^\r]+\r\n)*)\r\n/;

/** The meanings of consecutive requests. */
export function meanings(requests: string): Meaning[] {
  const found: Meaning[] = [];
  let rest = inOneChunk(requests);
  while (rest !== "") {
    const headEnd = rest.indexOf("\r\n\r\n") + 4;
    const [line = "", ...lines] = rest.slice(0, headEnd - 4).split("\r\n");
    const fields = lines.map(meaningOf).sort();
    rest = rest.slice(headEnd);
    const length = Number(fields.find((field) => field.startsWith("content-length: "))?.slice(16) ?? 0);
    const chunked = fields.includes("transfer-encoding: chunked") ? CHUNKED.exec(rest) : null;
    const [all, body = "", section = ""] = chunked ?? [rest.slice(0, length), rest.slice(0, length)];
    const trailers = section.split("\r\n").slice(0, -1).map(meaningOf).sort();
    found.push({ line, fields, body, trailers });
    rest = rest.slice(all.length);
  }
  return found;
}

function meaningOf(line: string): string {
  const [, name = "", value = ""] = /^([^:]*):[ \t]*([^]*?)[ \t]*$/.exec(line) ?? [];
  return `${name.toLowerCase()}: ${value}`;
}
