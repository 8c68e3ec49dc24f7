// Intended differences between this program and Node. Any other difference is a fault in one of them, and stops a campaign.

import { METHODS } from "node:http";
import type { Message } from "./message.js";

const KNOWN: ReadonlySet<string> = new Set(METHODS);

/**
 * Node knows a list of methods and refuses others. By RFC 9110 section 9.1 any token is a method, services know more, and the
 * proxy forwards them. Returns how many requests precede the first one that Node can't judge.
 */
export function countBeforeUnknownMethod(methods: readonly string[]): number {
  const unknown = methods.findIndex((method) => !KNOWN.has(method));
  return unknown < 0 ? methods.length : unknown;
}

/**
 * Node treats `Proxy-Connection` as Connection. RFC 9112 appendix C.2.2 wants it ignored; the proxy ignores and removes it,
 * so that a service never sees it. Also, Node stops reading after a request with an upgrade that it doesn't serve, whereas
 * the proxy continues if it ignores the upgrade (to h2c, see upgrade-protocols.ts; or in HTTP/1.0, RFC 9110 section 7.8).
 */
export function makesNodeStopReading(message: Message | undefined): boolean {
  const fields = message?.fields ?? [];
  const has = (name: RegExp, value: RegExp): boolean =>
    fields.some((each, i) => i % 2 === 0 && name.test(each) && value.test(fields[i + 1] ?? ""));
  if (has(/^proxy-connection$/i, /(^|[\s,])close([\s,]|$)/i)) return true;
  const ignored = message?.line.endsWith(" 1.0") === true ? /./ : /(h2c|http|tls)/i;
  return has(/^(proxy-)?connection$/i, /(^|[\s,])upgrade([\s,]|$)/i) && has(/^upgrade$/i, ignored);
}

/**
 * If a request line begins with PRI, the preface of HTTP/2, Node drops the connection, including the requests before it. The
 * proxy answers the earlier requests and refuses that line.
 */
export function makesNodeDisconnect(rest: string): boolean {
  return /^(\r\n)*PRI /.test(rest);
}
