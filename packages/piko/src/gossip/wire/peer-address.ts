// Addresses of nodes as used on the wire, `host:port`, and IP addresses in a canonical form, so that they can be compared.

import { SocketAddress, isIP, isIPv6 } from "node:net";
import type { HostPort } from "../../base/address.js";

/** Maximum length of a node's address or id that is accepted from others. */
const MAX_LENGTH = 300;

/**
 * Parses an address of another node. IPv6 addresses may lack their brackets, as those of Go nodes do: the port is always there.
 * Undefined for anything to which nothing can be sent.
 */
export function parsePeerAddress(text: string): HostPort | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const colon = text.lastIndexOf(":");
  const digits = text.slice(colon + 1);
  if (colon < 1 || !/^\d{1,5}$/.test(digits)) return undefined;
  const port = Number(digits);
  if (port === 0 || port > 65_535) return undefined;
  const bracketed = text.startsWith("[") && text[colon - 1] === "]";
  const host = bracketed ? text.slice(1, colon - 1) : text.slice(0, colon);
  if (isIP(host) !== 0) return isSendable(host) ? { host: canonicalIp(host), port } : undefined;
  return !bracketed && /^[A-Za-z0-9_]([\w.-]*[\w.])?$/.test(host) ? { host, port } : undefined;
}

/** An IP address in its canonical form; IPv4 over IPv6 becomes IPv4. */
export function canonicalIp(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const zone = ip.indexOf("%");
  const address = zone < 0 ? ip : ip.slice(0, zone);
  const plain = new SocketAddress({ address, family: "ipv6" }).address.toLowerCase();
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain)?.[1];
  return mapped ?? plain + (zone < 0 ? "" : ip.slice(zone));
}

/** Whether an IP address belongs to one host: neither unspecified, nor multicast, nor broadcast. */
function isSendable(ip: string): boolean {
  const plain = canonicalIp(ip);
  if (isIPv6(plain)) return plain !== "::" && !plain.startsWith("ff");
  const first = Number(plain.slice(0, plain.indexOf(".")));
  return first > 0 && first < 224;
}

/** Whether an id is valid, so that it can be accepted from others. */
export function isNodeId(id: string): boolean {
  return id !== "" && id.length <= MAX_LENGTH;
}
