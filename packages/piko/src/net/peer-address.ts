// The address of a socket's peer as logs and X-Forwarded-For write it.

import type { Socket } from "node:net";

/** The peer's IP address without port; an IPv4 address that arrived on a dual-stack socket in its IPv4 form. */
export function peerAddress(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
