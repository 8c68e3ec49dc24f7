// RFC 6455 section 4: the opening handshake of both sides, as bytes and checks. The caller has to read the head.

import { createHash, randomBytes } from "node:crypto";

const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`. */
export function acceptKey(key: string): string {
  return createHash("sha1")
    .update(key + ACCEPT_GUID)
    .digest("base64");
}

/** A new `Sec-WebSocket-Key`: 16 random bytes in base64. */
export function randomKey(): string {
  return randomBytes(16).toString("base64");
}

/** Whether a client's key is the base64 of 16 bytes. */
export function isValidKey(key: string): boolean {
  return /^[A-Za-z0-9+/]{22}==$/.test(key);
}

/** The server's whole answer to a valid upgrade request; `extra` contains additional header lines, each with its CRLF. */
export function switchingProtocols(key: string, extra = ""): string {
  return (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${acceptKey(key)}\r\n${extra}\r\n`
  );
}

/** A client's upgrade request. `path` starts with a slash. Throws if a value would corrupt the head. */
export function upgradeRequest(options: {
  host: string;
  path: string;
  key: string;
  headers: ReadonlyArray<readonly [name: string, value: string]>;
}): string {
  if (/[\r\n\0 ]/.test(options.path)) throw new TypeError("path holds a space, line break or NUL");
  let text = `GET ${options.path} HTTP/1.1\r\nHost: ${options.host}\r\n`;
  for (const [name, value] of options.headers) {
    if (/[\r\n\0]/.test(name) || /[\r\n\0]/.test(value)) {
      throw new TypeError(`header ${JSON.stringify(name)} holds a line break or NUL`);
    }
    text += `${name}: ${value}\r\n`;
  }
  return (
    `${text}Connection: Upgrade\r\nSec-WebSocket-Key: ${options.key}\r\n` +
    "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n"
  );
}
