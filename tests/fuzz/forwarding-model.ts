// What a message must look like after two hops (proxy and agent), computed in the slow and obvious way: from the message that
// Node read in the original bytes to the one that Node must read in the forwarded bytes.

import type { FieldList, Message } from "./message.js";

/** What the proxy adds to a request. */
export interface Additions {
  /** The Host field for a request without one. */
  readonly missingHost: string;
  readonly forwardedFor: string;
  readonly forwardedProto: string | undefined;
  readonly forwardedHost: string | undefined;
}

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "transfer-encoding",
  "upgrade",
]);
const REQUEST_ONLY: ReadonlySet<string> = new Set([
  "http2-settings",
  "x-piko-forward",
  "x-piko-hop-capabilities",
  "x-piko-hop",
  "x-piko-authorization",
  "x-piko-tenant-id",
]);
const FORBIDDEN_TRAILER =
  /^(connection|host|keep-alive|te|trailer|upgrade|http2-settings|cache-control|expect|max-forwards|pragma|range|forwarded|x-real-ip|authorization|cookie|set-cookie|www-authenticate|authentication-info|age|date|expires|location|retry-after|vary|warning|content-encoding|content-type|content-range|if-.*|proxy-.*|x-forwarded-.*|x-piko-.*|sec-.*)$/;

/** The request after proxy and agent. */
export function forwardedRequest(original: Message, additions: Additions): Message {
  const [method = "", target = "", version = ""] = original.line.split(" ");
  const absolute = /^https?:\/\/([^/?]*)(.*)$/is.exec(target);
  const lists = (name: string): string[] => listOf(valuesOf(original.fields, name));
  const options = lists("connection");
  const upgrades = valuesOf(original.fields, "upgrade");
  // An upgrade to HTTP itself is ignored.
  const protocols = listOf(upgrades).map((protocol) => protocol.replace(/[ \t]*\/.*$/s, ""));
  const upgrade =
    version === "1.1" &&
    options.includes("upgrade") &&
    upgrades[0] !== undefined &&
    upgrades[0] !== "" &&
    !protocols.some((protocol) => ["h2c", "http", "tls"].includes(protocol));
  const host = absolute?.[1] ?? valuesOf(original.fields, "host")[0] ?? "";
  const forwardedFor = valuesOf(original.fields, "x-forwarded-for").filter((value) => value !== "");
  const kept = keep(original.fields, (name) => {
    if (HOP_BY_HOP.has(name) || REQUEST_ONLY.has(name) || name === "x-forwarded-for") return false;
    if (name === "x-forwarded-proto") return additions.forwardedProto === undefined;
    if (name === "x-forwarded-host") return additions.forwardedHost === undefined;
    if (name === "host") return absolute === null && host !== "";
    if (name === "expect") return version === "1.1";
    return !options.includes(name);
  });
  const front = absolute !== null || host === "" ? ["Host", host || additions.missingHost] : [];
  const back = ["X-Forwarded-For", [...forwardedFor, additions.forwardedFor].join(", ")];
  if (additions.forwardedProto !== undefined) back.push("X-Forwarded-Proto", additions.forwardedProto);
  if (additions.forwardedHost !== undefined) back.push("X-Forwarded-Host", additions.forwardedHost);
  if (lists("transfer-encoding").includes("chunked")) back.push("Transfer-Encoding", "chunked");
  if (lists("te").includes("trailers")) back.push("TE", "trailers");
  if (upgrade) back.push("Connection", "Upgrade", "Upgrade", upgrades[0] ?? "");
  return {
    line: `${method} ${originForm(method, target, absolute?.[2])} 1.1`,
    fields: [...front, ...kept, ...back],
    body: original.body,
    trailers: keep(original.trailers, (name) => !FORBIDDEN_TRAILER.test(name)),
  };
}

function originForm(method: string, target: string, rest: string | undefined): string {
  if (rest === undefined) return target;
  if (rest === "") return method === "OPTIONS" ? "*" : "/";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** The response after agent and proxy, for a client that uses HTTP/1.1 or 1.0. */
export function forwardedResponse(original: Message, method: string, http10: boolean): Message {
  const [version = "", status = ""] = original.line.split(" ");
  const options = listOf(valuesOf(original.fields, "connection"));
  const chunked = valuesOf(original.fields, "transfer-encoding").length > 0;
  const bodiless = method === "HEAD" || status === "204" || status === "304";
  const untilClose = !bodiless && !chunked && valuesOf(original.fields, "content-length").length === 0;
  const kept = keep(original.fields, (name) => {
    if (name === "upgrade") return status === "426";
    if (HOP_BY_HOP.has(name) || name === "x-piko-reroute") return false;
    if (name === "content-length") return status !== "204";
    return !options.includes(name);
  });
  // The agent makes chunks of a body that ends with its connection, and the proxy removes them again for clients that don't
  // support chunks.
  const decoded = http10 && !bodiless;
  const chunks = (chunked || untilClose) && !decoded && status !== "204";
  const upgrade = status === "426" && valuesOf(original.fields, "upgrade").length > 0;
  const back = chunks ? ["Transfer-Encoding", "chunked"] : [];
  if (upgrade) back.push("Connection", "Upgrade");
  if (http10) back.push("Connection", decoded && (chunked || untilClose) ? "close" : "keep-alive");
  return {
    line: `1.1${original.line.slice(version.length)}`,
    fields: [...kept, ...back],
    body: original.body,
    trailers: decoded ? [] : keep(original.trailers, (name) => !FORBIDDEN_TRAILER.test(name)),
  };
}

function keep(fields: FieldList, wanted: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (wanted((fields[i] ?? "").toLowerCase())) kept.push(fields[i] ?? "", fields[i + 1] ?? "");
  }
  return kept;
}

function valuesOf(fields: FieldList, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() === name) values.push(fields[i + 1] ?? "");
  }
  return values;
}

function listOf(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(","))
    .map((item) => item.replace(/^[ \t]+|[ \t]+$/g, "").toLowerCase());
}
