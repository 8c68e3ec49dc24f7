// The grammar of `host[:port]`, for the Host field and for the authority of an absolute target. Used by
// parse-request-head.ts.

import * as ascii from "./ascii.js";

// Local copies: see ascii.ts.
const { COLON, HEX_VALUE } = ascii;

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const PERCENT = 0x25;
const DOT = 0x2e;

// RFC 3986 reg-name without the comma: some recipients read a list in Host as two hosts. User information, white space,
// slashes and non-ASCII bytes are outside the grammar anyway.
const REG_NAME: Uint8Array = new Uint8Array(256);
for (const character of "-._~!$&'()*+;=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  REG_NAME[character.charCodeAt(0)] = 1;
}

/** Whether `buffer[start, end)` is a host with an optional port. An empty range is not. */
export function isAuthority(buffer: Uint8Array, start: number, end: number): boolean {
  let i = start;
  if (buffer[start] === OPEN_BRACKET && start < end) {
    i = endOfIpLiteral(buffer, start + 1, end);
    if (i === -1) return false;
  } else {
    for (; i < end; i++) {
      const byte = buffer[i] as number;
      if (REG_NAME[byte] === 1) continue;
      if (byte !== PERCENT) break;
      if (i + 2 >= end || !isHex(buffer[i + 1] as number) || !isHex(buffer[i + 2] as number)) return false;
      i += 2;
    }
    if (i === start) return false;
  }
  return i === end || isPort(buffer, i, end);
}

/** One past the closing bracket of an IPv6 literal, or -1. Zone identifiers and future versions are refused. */
function endOfIpLiteral(buffer: Uint8Array, start: number, end: number): number {
  let colons = 0;
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    if (byte === CLOSE_BRACKET) return colons >= 2 ? i + 1 : -1;
    if (byte === COLON) colons++;
    else if (byte !== DOT && !isHex(byte)) return -1;
  }
  return -1;
}

function isPort(buffer: Uint8Array, start: number, end: number): boolean {
  if (buffer[start] !== COLON || end - start > 6) return false;
  let port = 0;
  for (let i = start + 1; i < end; i++) {
    const digit = (buffer[i] as number) - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65535;
}

function isHex(byte: number): boolean {
  return HEX_VALUE[byte] !== 255;
}
