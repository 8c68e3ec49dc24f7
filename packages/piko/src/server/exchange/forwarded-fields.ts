// X-Forwarded-For, -Proto and -Host: their values in a request are used only if it comes from a trusted proxy.

import { isIP } from "node:net";
import {
  FIELD_X_FORWARDED_FOR,
  FIELD_X_FORWARDED_HOST,
  FIELD_X_FORWARDED_PROTO,
} from "../../http/field-names.js";
import { FIELD_ID, FIELD_STRIDE, type RequestHead, VALUE_END, VALUE_START } from "../../http/head.js";
import { missingHost } from "./named-endpoint.js";
import type { MutableRewrite } from "../../http/request-rewrite.js";

const HTTP: Buffer = Buffer.from("http", "latin1");
const HTTPS: Buffer = Buffer.from("https", "latin1");

export class ForwardedFields {
  /** The host of the last request on any connection, cached because most requests have the same. */
  #host: Buffer = Buffer.alloc(0);

  /**
   * Sets X-Forwarded-Proto and -Host for the upstream: kept if a trusted proxy has set them, else the request's Host, and http
   * or, if `secure`, https. (X-Forwarded-For is always appended to, with the value in the rewrite of the connection.)
   */
  set(
    rewrite: Pick<MutableRewrite, "forwardedProto" | "forwardedHost" | "host">,
    head: RequestHead,
    endpointId: string,
    trusted: boolean,
    secure: boolean,
  ): void {
    rewrite.host = missingHost(head, endpointId);
    const proto = secure ? HTTPS : HTTP;
    rewrite.forwardedProto = trusted && hasField(head, FIELD_X_FORWARDED_PROTO) ? undefined : proto;
    rewrite.forwardedHost =
      trusted && hasField(head, FIELD_X_FORWARDED_HOST) ? undefined : this.#hostOf(head);
  }

  #hostOf(head: RequestHead): Buffer {
    const { buffer, hostStart } = head;
    const host = this.#host;
    let same = head.hostEnd - hostStart === host.length;
    for (let i = 0; same && i < host.length; i++) same = buffer[hostStart + i] === host[i];
    if (!same) this.#host = Buffer.from(buffer.subarray(hostStart, head.hostEnd));
    return this.#host;
  }
}

/**
 * The client of a request that a trusted proxy forwarded: the last entry of X-Forwarded-For that isn't the address of a trusted
 * proxy. Entries before it may be invented. `peer` if there is none.
 */
export function forwardedClient(
  head: RequestHead,
  peer: string,
  isTrusted: (address: string) => boolean,
): string {
  let client = peer;
  for (let record = (head.fieldCount - 1) * FIELD_STRIDE; record >= 0; record -= FIELD_STRIDE) {
    if (head.fields[record + FIELD_ID] !== FIELD_X_FORWARDED_FOR) continue;
    const start = head.fields[record + VALUE_START];
    const entries = head.buffer.toString("latin1", start, head.fields[record + VALUE_END]).split(",");
    for (const entry of entries.reverse()) {
      const address = entryAddress(entry.trim());
      if (address === undefined) return client;
      client = address;
      if (!isTrusted(address)) return client;
    }
  }
  return client;
}

/** The address in an entry, without the port that some proxies add; undefined if it is none, such as `unknown`. */
function entryAddress(entry: string): string | undefined {
  const parts = /^\[([^\]]+)\](?::\d+)?$/.exec(entry) ?? /^(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/.exec(entry);
  const address = parts?.[1] ?? entry;
  if (isIP(address) === 0 || address.includes("%")) return undefined;
  return /^::ffff:\d+\./i.test(address) ? address.slice(7) : address;
}

function hasField(head: RequestHead, id: number): boolean {
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    if (head.fields[record + FIELD_ID] === id) return true;
  }
  return false;
}
