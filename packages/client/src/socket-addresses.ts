// The two ends of the underlying connection, with the names that `net.Socket` uses.

import type { Socket } from "node:net";

/** Of the TCP connection between this program and the Piko server; the client's own are in what the server forwards. */
export interface SocketAddresses {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** `IPv4` or `IPv6`. */
  readonly remoteFamily: string | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** Those of now: a socket that is closed has none. */
export function addressesOf(socket: Socket): SocketAddresses {
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = socket;
  return { remoteAddress, remotePort, remoteFamily, localAddress, localPort };
}
