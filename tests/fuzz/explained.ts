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
 * Node takes `Proxy-Connection: close` for `Connection: close` and reads no further. RFC 9112 appendix C.2.2 wants it
 * ignored; the proxy ignores it and drops it, so that a service never sees it.
 */
export function endsNodesReading(message: Message | undefined): boolean {
  const fields = message?.fields ?? [];
  return fields.some(
    (name, i) =>
      i % 2 === 0 && /^proxy-connection$/i.test(name) && /(^|[\s,])close([\s,]|$)/i.test(fields[i + 1] ?? ""),
  );
}
