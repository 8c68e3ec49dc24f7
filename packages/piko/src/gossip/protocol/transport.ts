// How gossip reaches other nodes. The protocol knows only this interface; sockets implement it, and so does the test
// kit's simulated network. An implementation carries bytes that it can't read, so it is told where a message ends.

/** Finds where a message that arrives in pieces ends. */
export interface MessageEnd {
  /**
   * Looks on in a longer buffer: the message's length once it is whole within `bytes[0..end)`, else undefined. Throws for
   * bytes that are no message.
   */
  find(bytes: Buffer, end: number): number | undefined;
}

/** Takes the answer to a request, piece by piece as the asker takes them, or undefined to close without one. Called once. */
export type Answer = (pieces: Iterator<Buffer> | undefined) => void;

/** What a transport that seals knows of a packet. One that doesn't passes none of it; then every answer is believed. */
export interface PacketOrigin {
  /** Names the packet, for what is sent in answer to it. */
  readonly reference: Buffer;
  /** It answers a question of this node's. If it answers none, it may be a copy, and is no sign of life. */
  readonly answers: boolean;
}

/** Receives packets and requests of others. Their bytes may come from anyone. */
export interface TransportReceiver {
  /** A datagram from an IP address. */
  onPacket(packet: Buffer, fromIp: string, origin?: PacketOrigin): void;
  /** A connection was closed at once, since there are too many. */
  onConnectionRefused(): void;
  /** Finds the end of a request that begins to arrive. */
  requestEnd(): MessageEnd;
  /**
   * A whole request over TCP, whose end `end` has found: what `requestEnd` gave for it. Its bytes are in use until `answer` is
   * called, which may be later.
   */
  onRequest(request: Buffer, fromIp: string, answer: Answer, end: MessageEnd): void;
  /** A member's packet or request was dropped, since its clock is ahead of this node's by so much. Nothing of it counts. */
  onClockOff?(message: Buffer, aheadMs: number): void;
}

/** Called once, with either an error or the whole answer. */
export type ExchangeDone = (error: Error | undefined, response: Buffer) => void;

/** Datagrams, and requests with answers, between addresses of the form `host:port`. */
export interface GossipTransport {
  /** Bytes that the transport adds to a packet; they come off its size. None by default. */
  readonly packetOverheadBytes?: number;
  /** Gives the receiver; what arrives before is dropped. */
  attach(receiver: TransportReceiver): void;
  /**
   * Sends a datagram. Never waits and never fails: what can't be sent is lost. The bytes must not change afterwards. `answers` is
   * the {@link PacketOrigin.reference} of the packet that it is in answer to.
   */
  sendPacket(address: string, packet: Buffer, answers?: Buffer): void;
  /**
   * Sends a request over TCP and reads its answer, all within `timeoutMs`. An error with the code PIKO_GOSSIP_UNREACHABLE
   * says that the node isn't there; any other says nothing about it.
   *
   * @returns a function that gives the exchange up; `done` is not called then.
   */
  exchange(
    address: string,
    request: Buffer,
    responseEnd: MessageEnd,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void;
  /** Whether a packet from this IP address can come from the node that says it is at `address`. */
  comesFrom(address: string, ip: string): boolean;
  close(): Promise<void>;
}
