// How gossip reaches other nodes. The protocol's state machine knows this interface only: sockets implement it, and so does
// the test kit's simulated network.

/** Where packets and requests of others go. Both are called for bytes of anybody. */
export interface TransportReceiver {
  /** A datagram from an IP address. */
  onPacket(packet: Buffer, fromIp: string): void;
  /** A whole request over TCP: the answer, or undefined to close the connection without one. */
  onRequest(request: Buffer, fromIp: string): Buffer | undefined;
}

/** Called once, with either an error or the whole answer. */
export type ExchangeDone = (error: Error | undefined, response: Buffer) => void;

/** Datagrams, and requests with answers, between addresses of the form `host:port`. */
export interface GossipTransport {
  /** Gives the receiver; what arrives before is dropped. */
  attach(receiver: TransportReceiver): void;
  /** Sends a datagram. Never waits and never fails: what can't be sent is lost. The bytes must not change afterwards. */
  sendPacket(address: string, packet: Buffer): void;
  /**
   * Sends a request over TCP and reads an answer of `responseValues` MessagePack values, all within `timeoutMs`. An error
   * with the code PIKO_GOSSIP_UNREACHABLE says that the node isn't there; any other says nothing about it.
   *
   * @returns a function that gives the exchange up; `done` is not called then.
   */
  exchange(
    address: string,
    request: Buffer,
    responseValues: number,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void;
  /** Whether a packet from this IP address can come from the node that says it is at `address`. */
  comesFrom(address: string, ip: string): boolean;
  close(): Promise<void>;
}
