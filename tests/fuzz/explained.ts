// Where this program and Node differ on purpose. Everything else that differs is a fault of one of them, and ends a
// campaign.

import { METHODS } from "node:http";
import type { Message } from "./message.js";

const KNOWN: ReadonlySet<string> = new Set(METHODS);

/**
 * Node knows a list of methods and refuses others; by RFC 9110 section 9.1 any token is one, services know more, and the
 * proxy passes them on. Returns how many requests come before the first that Node can't be asked about.
 */
export function countBeforeUnknownMethod(methods: readonly string[]): number {
  const unknown = methods.findIndex((method) => !KNOWN.has(method));
  return unknown < 0 ? methods.length : unknown;
}

/**
 * Node takes `Proxy-Connection` for Connection. RFC 9112 appendix C.2.2 wants it ignored; the proxy ignores it and drops
 * it, so that a service never sees it. And Node reads no further behind a request with Upgrade that it doesn't serve,
 * where the proxy goes on if it ignores the upgrade (to h2c, see upgrade-protocols.ts; or in HTTP/1.0, RFC 9110 7.8).
 */
export function endsNodesReading(message: Message | undefined): boolean {
  const fields = message?.fields ?? [];
  const has = (name: RegExp, value: RegExp): boolean =>
    fields.some((each, i) => i % 2 === 0 && name.test(each) && value.test(fields[i + 1] ?? ""));
  if (has(/^proxy-connection$/i, /(^|[\s,])close([\s,]|$)/i)) return true;
  const ignored = message?.line.endsWith(" 1.0") === true ? /./ : /(h2c|http|tls)/i;
  return has(/^(proxy-)?connection$/i, /(^|[\s,])upgrade([\s,]|$)/i) && has(/^upgrade$/i, ignored);
}

/**
 * Node gives up the connection, and the requests before with it, where a request line begins with PRI, the preface of
 * HTTP/2. The proxy answers what came before and refuses the line.
 */
export function makesNodeGiveUp(rest: string): boolean {
  return /^(\r\n)*PRI /.test(rest);
}
