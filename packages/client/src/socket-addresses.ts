// The two ends of the underlying connection, with the names that `net.Socket` uses.

import type { Socket } from "node:net";

/** Addresses of the TCP connection between this program and the Piko server. The client's address is in the forwarded header fields. */
export interface SocketAddresses {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** `IPv4` or `IPv6`. */
  readonly remoteFamily: string | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** The current addresses of a socket; a closed socket has none. */
export function addressesOf(socket: Socket): SocketAddresses {
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = socket;
  return { remoteAddress, remotePort, remoteFamily, localAddress, localPort };
}
