// The endpoint that a request names, and the Host for the service if the request has none.

import { isIP } from "node:net";
import { isUtf8 } from "node:buffer";
import { isAuthority } from "../../http/authority.js";
import { FIELD_STRIDE, type RequestHead, VALUE_END, VALUE_START } from "../../http/head.js";

const DOT = 0x2e;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;

/**
 * The endpoint id of a request, or "" if it names none: the value of `x-piko-endpoint` (in UTF-8 or else in Latin-1, which
 * browsers and Node.js send for an é), or else the first label of the host if that is a name of at least two labels. `last` is
 * the id of the connection's previous request, which is usually the same string.
 */
export function endpointIdOf(head: RequestHead, last: string): string {
  if (head.endpointField >= 0) {
    const record = head.endpointField * FIELD_STRIDE;
    const start = head.fields[record + VALUE_START] as number;
    const end = head.fields[record + VALUE_END] as number;
    if (end > start) return textOf(head.buffer, start, end, last);
  }
  return firstLabel(head.buffer, head.hostStart, head.hostEnd, last);
}

function firstLabel(buffer: Buffer, start: number, end: number, last: string): string {
  if (start === end || buffer[start] === OPEN_BRACKET) return "";
  let dot = -1;
  let hostEnd = end;
  let letters = false;
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    if (byte === COLON) {
      hostEnd = i;
      break;
    }
    if (byte === DOT) {
      if (dot < 0) dot = i;
    } else if (byte < 0x30 || byte > 0x39) {
      letters = true;
    }
  }
  if (dot < 0) return "";
  if (!letters && isIP(buffer.toString("latin1", start, hostEnd)) !== 0) return "";
  return textOf(buffer, start, dot, last);
}

/** `buffer[start, end)` as a string; returns `known` itself if it is equal. */
function textOf(buffer: Buffer, start: number, end: number, known: string): string {
  if (end - start === known.length && isKnown(buffer, start, known)) return known;
  const bytes = buffer.subarray(start, end);
  return bytes.toString(isUtf8(bytes) ? "utf8" : "latin1");
}

/** Whether the bytes from `start` on equal `known`. Always false if they aren't ASCII. */
function isKnown(buffer: Buffer, start: number, known: string): boolean {
  for (let i = 0; i < known.length; i++) {
    const byte = buffer[start + i] as number;
    if (byte !== known.charCodeAt(i) || byte > 0x7f) return false;
  }
  return true;
}

/**
 * The Host that the service gets for a request without one (HTTP/1.0, or an empty field): the endpoint id, as in Go. Many
 * servers refuse an empty Host. Undefined if the request has a host, or if the id isn't valid as a host.
 */
export function missingHost(head: RequestHead, endpointId: string): Buffer | undefined {
  if (head.hostEnd !== head.hostStart) return undefined;
  const id = Buffer.from(endpointId);
  return isAuthority(id, 0, id.length) ? id : undefined;
}
