// Translates the bytes of a case into HTTP/2 requests with the same meaning, as literally as HTTP/2's frames allow.

import type { Field } from "../../../packages/piko/test/h2-peer.js";
import type { SmugglingCase } from "./corpus.js";

/** One request, for a stream of its own. */
export interface StreamRequest {
  readonly fields: readonly Field[];
  /** Whether it has a body, which may be empty. */
  readonly hasBody: boolean;
  readonly body: string;
  /** Whether the body is shorter than its length, so that more would follow. */
  readonly open: boolean;
  readonly trailers: readonly Field[];
}

/** Parts of a case that HTTP/2 has no counterpart for. */
export type Inexpressible =
  | "a version or a first line"
  | "a line"
  | "a chunk"
  | "a message that isn't whole"
  | "an upgrade";

/** Fields without a meaning beyond a connection. The fields that Connection lists are added. */
const OF_CONNECTION = ["connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings"];

/** The requests of a case that HTTP/1.1 reads, or the reason why there are none. */
export function asHttp2({ outcomes, reaches, sent }: SmugglingCase): StreamRequest[] | Inexpressible {
  const [outcome] = outcomes;
  if (outcome === undefined || outcome.fate === "waits" || reaches?.includes("Upgrade: ") === true) {
    return outcome?.fate === "waits" ? "a message that isn't whole" : "an upgrade";
  }
  if (outcome.answers.some(({ status }) => status === 101)) return "an upgrade";
  const requests: StreamRequest[] = [];
  let rest = sent.toString("latin1");
  for (const { status } of outcome.answers) {
    if (status < 200) continue;
    // Requests that are refused keep all fields about their framing and their connection.
    const read = readRequest(rest, status === 400 || status === 501);
    if (typeof read === "string") return read;
    requests.push(read.request);
    rest = read.rest;
  }
  return requests;
}

function readRequest(
  text: string,
  literal: boolean,
): { request: StreamRequest; rest: string } | Inexpressible {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return "a message that isn't whole";
  const [first = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const parts = /^([^ ]*) ([^]*) HTTP\/1\.1$/.exec(first);
  if (parts === null) return "a version or a first line";
  const [, method = "", target = ""] = parts;
  const all = lines.map((line) => readField(line, literal));
  if (!all.every((field) => field !== undefined)) return "a line";
  const framing = (name: string): string[] => all.filter(([each]) => each === name).map(([, value]) => value);
  const [encodings, lengths] = [framing("transfer-encoding"), framing("content-length")];
  const afterHead = text.slice(headEnd + 4);
  let [body, rest, trailers]: [string, string, readonly Field[]] = ["", afterHead, []];
  let open = false;
  const chunked = encodings.length === 1 && /^chunked$/i.test(encodings[0] ?? "") && lengths.length === 0;
  if (chunked) {
    const chunks = readChunks(afterHead, literal);
    if (chunks === undefined) return "a chunk";
    ({ body, rest, trailers } = chunks);
  } else if (literal && encodings.length + lengths.length > 0) [body, rest] = [afterHead, ""];
  else {
    const length = Number(lengths[0] ?? 0);
    [body, rest] = [afterHead.slice(0, length), afterHead.slice(length)];
    open = body.length < length;
  }
  const listed = framing("connection").flatMap((value) =>
    value.split(",").map((each) => each.trim().toLowerCase()),
  );
  const hasBody = encodings.length + lengths.length > 0;
  const left = [...(chunked ? ["transfer-encoding"] : []), ...(literal ? [] : [...OF_CONNECTION, ...listed])];
  const fields = all.filter(
    ([name, value]) => !left.includes(name) && !(name === "te" && value !== "trailers"),
  );
  return {
    request: { fields: [...pseudoFields(method, target, fields), ...fields], hasBody, body, open, trailers },
    rest,
  };
}

/** `literal`: keep the white space around a value, which isn't part of it. */
function readField(line: string, literal: boolean): Field | undefined {
  const parts = (literal ? /^([^:]*): ?([^]*)$/ : /^([^:]*):[ \t]*([^]*?)[ \t]*$/).exec(line);
  return parts === null ? undefined : [(parts[1] ?? "").toLowerCase(), parts[2] ?? ""];
}

/**
 * Pseudo-fields from the request line and from Host, which is removed from `fields`. If the target has an authority, Host is
 * kept, because the two must agree.
 */
function pseudoFields(method: string, target: string, fields: Field[]): Field[] {
  const pseudo: Field[] = [[":method", method]];
  const absolute = /^([a-z]+):\/\/([^/]*)(.*)$/i.exec(target);
  if (absolute !== null) {
    const [, scheme = "", authority = "", path = ""] = absolute;
    return [...pseudo, [":scheme", scheme.toLowerCase()], [":authority", authority], [":path", path]];
  }
  const host = fields.findIndex(([name]) => name === "host");
  const authority: Field[] = host < 0 ? [] : [[":authority", fields[host]?.[1] ?? ""]];
  if (host >= 0) fields.splice(host, 1);
  if (method === "CONNECT" && !target.startsWith("/")) return [...pseudo, [":authority", target]];
  return [...pseudo, [":scheme", "http"], ...authority, [":path", target]];
}

/** Reads a chunked body at the start of `text`; undefined if there is something else. */
function readChunks(
  text: string,
  literal: boolean,
): { body: string; trailers: Field[]; rest: string } | undefined {
  let [body, at] = ["", 0];
  for (;;) {
    const size = /^([0-9a-fA-F]{1,6})(;[^\r\n]*)?\r\n/.exec(text.slice(at));
    // HTTP/2 has no chunk extensions that could be malformed.
    if (size === null || (literal && size[2] !== undefined)) return undefined;
    const length = Number.parseInt(size[1] ?? "", 16);
    at += size[0].length;
    if (length === 0) break;
    body += text.slice(at, at + length);
    at += length;
    if (text.slice(at, at + 2) !== "\r\n") return undefined;
    at += 2;
  }
  const section = /^((?:[^\r\n]+\r\n)*)\r\n/.exec(text.slice(at));
  if (section === null) return undefined;
  const lines = (section[1] ?? "").split("\r\n").slice(0, -1);
  const all = lines.map((line) => readField(line, literal));
  if (!all.every((field) => field !== undefined)) return undefined;
  const trailers = all.filter(([name]) => literal || !OF_CONNECTION.includes(name));
  return { body, trailers, rest: text.slice(at + section[0].length) };
}
