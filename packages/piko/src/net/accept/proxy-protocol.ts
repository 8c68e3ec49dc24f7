// The PROXY protocol (haproxy's, versions 1 and 2): the header in which a TCP load balancer sends the client's address. Parsed
// once, at the start of a connection to the proxy port; strictly, and limited in size.

import { isIPv4, isIPv6 } from "node:net";

/** Maximum length of a header of version 1, line end included (the specification's limit, without the NUL of its buffer). */
const MAX_V1_BYTES = 107;
/** Maximum length of a header of version 2, extensions included: what the specification says fits any TCP segment. */
export const MAX_V2_BYTES = 536;

/** A header that was parsed. */
export interface ProxyHeader {
  /** Offset after the header's last byte. */
  readonly end: number;
  /** The client's address; undefined if the header has none, as in a health check by the sender itself. */
  readonly address: string | undefined;
}

/** `absent`: these bytes are something else. `incomplete`: call again with more of them. */
export type NoProxyHeader = "absent" | "incomplete" | "invalid";

const V1_START: Buffer = Buffer.from("PROXY ", "latin1");
const V2_START: Buffer = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V2_FIXED_BYTES = 16;
const CR = 0x0d;
const LF = 0x0a;

/** Parses the header with which `buffer[start, end)`, the first bytes of a connection, may begin. */
export function parseProxyHeader(buffer: Buffer, start: number, end: number): ProxyHeader | NoProxyHeader {
  if (start === end) return "incomplete";
  const version1 = buffer[start] === V1_START[0];
  const signature = version1 ? V1_START : V2_START;
  const available = Math.min(signature.length, end - start);
  if (signature.compare(buffer, start, start + available, 0, available) !== 0) return "absent";
  if (available < signature.length) return "incomplete";
  return version1 ? parseV1(buffer, start, end) : parseV2(buffer, start, end);
}

function parseV1(buffer: Buffer, start: number, end: number): ProxyHeader | NoProxyHeader {
  const limit = Math.min(end, start + MAX_V1_BYTES);
  let at = start + V1_START.length;
  while (at < limit && isVisible(buffer[at] as number)) at++;
  if (at >= limit - 1) {
    const mayContinue = limit === end && end - start < MAX_V1_BYTES && (at === limit || buffer[at] === CR);
    return mayContinue ? "incomplete" : "invalid";
  }
  if (buffer[at] !== CR || buffer[at + 1] !== LF) return "invalid";
  const [family, ...rest] = buffer.toString("latin1", start + V1_START.length, at).split(" ");
  // The rest of a line with UNKNOWN must be ignored.
  if (family === "UNKNOWN") return { end: at + 2, address: undefined };
  const [source = "", destination = "", sourcePort = "", destinationPort = ""] = rest;
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isPlainIPv6 : isNever;
  const valid =
    rest.length === 4 &&
    isAddress(source) &&
    isAddress(destination) &&
    isPort(sourcePort) &&
    isPort(destinationPort);
  return valid ? { end: at + 2, address: plainAddress(source.toLowerCase()) } : "invalid";
}

function parseV2(buffer: Buffer, start: number, end: number): ProxyHeader | NoProxyHeader {
  const at = start + V2_START.length;
  if (at === end) return "incomplete";
  const command = (buffer[at] as number) - 0x20;
  // In version 2: 0 is LOCAL, 1 is PROXY.
  if (command !== 0 && command !== 1) return "invalid";
  if (end - start < V2_FIXED_BYTES) return "incomplete";
  const family = buffer[at + 1] as number;
  const body = start + V2_FIXED_BYTES;
  const bodyEnd = body + buffer.readUInt16BE(at + 2);
  if (bodyEnd - start > MAX_V2_BYTES) return "invalid";
  const addressBytes = ADDRESS_BYTES.get(family);
  if (command === 1 && (addressBytes === undefined || bodyEnd - body < addressBytes)) return "invalid";
  if (bodyEnd > end) return "incomplete";
  if (command === 0) return { end: bodyEnd, address: undefined };
  if (!areExtensionsValid(buffer, body + (addressBytes ?? 0), bodyEnd)) return "invalid";
  return { end: bodyEnd, address: sourceAddress(buffer, body, family) };
}

const UNSPECIFIED = 0x00;
const TCP_IPV4 = 0x11;
const TCP_IPV6 = 0x21;
const UNIX_STREAM = 0x31;

/** Size of both addresses with their ports, by family and transport. Datagrams can't come over this connection. */
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [UNSPECIFIED, 0],
  [TCP_IPV4, 12],
  [TCP_IPV6, 36],
  [UNIX_STREAM, 216],
]);

function sourceAddress(buffer: Buffer, at: number, family: number): string | undefined {
  if (family === TCP_IPV4) return buffer.subarray(at, at + 4).join(".");
  return family === TCP_IPV6 ? plainAddress(formatIPv6(buffer, at)) : undefined;
}

/** Type, length and value, repeated. They aren't used here, but the header is invalid if their lengths don't add up. */
function areExtensionsValid(buffer: Buffer, start: number, end: number): boolean {
  let at = start;
  while (end - at >= 3) at += 3 + buffer.readUInt16BE(at + 1);
  return at === end;
}

/** The address in the form that the system uses for its sockets (RFC 5952). */
function formatIPv6(buffer: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => buffer.readUInt16BE(at + 2 * i).toString(16));
  let best = 0;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (groups[i + length] === "0") length++;
    if (length > bestLength) [best, bestLength] = [i, length];
    i += length;
  }
  if (bestLength === 1) return groups.join(":");
  return `${groups.slice(0, best).join(":")}::${groups.slice(best + bestLength).join(":")}`;
}

const MAPPED_TEXT = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;
const MAPPED_GROUPS = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** Turns an IPv4 address in IPv6 form into its IPv4 form. */
function plainAddress(address: string): string {
  const text = MAPPED_TEXT.exec(address)?.[1];
  if (text !== undefined) return text;
  const [, high, low] = MAPPED_GROUPS.exec(address) ?? [];
  if (high === undefined || low === undefined) return address;
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join(".");
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes("%");
}

function isNever(): boolean {
  return false;
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

function isVisible(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f;
}
