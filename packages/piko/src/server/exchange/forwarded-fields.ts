// X-Forwarded-For, -Proto and -Host: values in a request are trusted only if they come from a trusted proxy.

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
  /** The host of the last request, here or on another connection: most requests ask for the same. */
  #host: Buffer = Buffer.alloc(0);

  /**
   * Sets what the next hop is told of where the request was sent: what a trusted proxy has said, else that the request came
   * for its Host, over HTTP or, `secure`, over HTTPS.
   * (X-Forwarded-For is always appended to, by what the rewrite holds for the whole connection.)
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
 * The client of a request that a trusted proxy has sent on: the last entry of X-Forwarded-For that isn't a trusted
 * proxy's own address; what comes before it may be invented. `peer` if there is none.
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

/** The address of an entry, which some proxies write with a port; undefined for `unknown` and the like. */
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
