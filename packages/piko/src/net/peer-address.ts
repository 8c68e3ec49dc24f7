// The address of a socket's peer, as in logs and X-Forwarded-For.

import type { Socket } from "node:net";

/** The peer's IP address without the port. An IPv4 address on a dual-stack socket is given in its IPv4 form. */
export function peerAddress(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
