// How gossip reaches other nodes. The protocol knows only this interface; sockets implement it, and so does the test kit's
// simulated network. An implementation can't parse the bytes that it carries, so it gets a {@link MessageEnd}.

/** Finds the end of a message that arrives in pieces. */
export interface MessageEnd {
  /**
   * Continues in a longer buffer: returns the message's length once it is complete within `bytes[0..end)`, else undefined.
   * Throws for bytes that aren't a message.
   */
  find(bytes: Buffer, end: number): number | undefined;
}

/**
 * Called once with the pieces of the answer to a request, which are read as fast as the asker takes them. Undefined closes
 * without an answer.
 */
export type Answer = (pieces: Iterator<Buffer> | undefined) => void;

/** What a sealing transport knows about a packet. Other transports pass nothing; then every answer is believed. */
export interface PacketOrigin {
  /** Identifies the packet, for packets sent in answer to it. */
  readonly reference: Buffer;
  /** Whether it answers a question of this node. If not, it may be a copy, and isn't a sign of life. */
  readonly answers: boolean;
}

/** Receives packets and requests of others. The bytes may come from anyone. */
export interface TransportReceiver {
  /** A datagram from an IP address. */
  onPacket(packet: Buffer, fromIp: string, origin?: PacketOrigin): void;
  /** A connection was closed at once because there are too many. */
  onConnectionRefused(): void;
  /** Creates a {@link MessageEnd} for a request that begins to arrive. */
  requestEnd(): MessageEnd;
  /**
   * A complete request over TCP. `end` is the object from `requestEnd` that found its end. The bytes are in use until `answer`
   * is called, which may be later.
   */
  onRequest(request: Buffer, fromIp: string, answer: Answer, end: MessageEnd): void;
  /** A member's packet or request was dropped because its clock is ahead of this node's by `aheadMs`. Nothing in it may be used. */
  onClockOff?(message: Buffer, aheadMs: number): void;
}

/** Called once, with either an error or the whole answer. */
export type ExchangeDone = (error: Error | undefined, response: Buffer) => void;

/** Sends datagrams, and requests with answers, between addresses of the form `host:port`. */
export interface GossipTransport {
  /** Bytes that the transport adds to a packet; they are subtracted from the maximum packet size. Default 0. */
  readonly packetOverheadBytes?: number;
  /** Sets the receiver; what arrives before is dropped. */
  attach(receiver: TransportReceiver): void;
  /**
   * Sends a datagram. Never waits and never fails: what can't be sent is lost. The bytes must not change afterwards. `answers`
   * is the {@link PacketOrigin.reference} of the packet that this one answers.
   */
  sendPacket(address: string, packet: Buffer, answers?: Buffer): void;
  /**
   * Sends a request over TCP and reads its answer, all within `timeoutMs`. An error with the code PIKO_GOSSIP_UNREACHABLE means
   * that the node isn't there; any other error says nothing about the node.
   *
   * @returns a function that cancels the exchange; `done` isn't called then.
   */
  exchange(
    address: string,
    request: Buffer,
    responseEnd: MessageEnd,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void;
  /** Whether a packet from this IP address can come from the node that claims to be at `address`. */
  comesFrom(address: string, ip: string): boolean;
  close(): Promise<void>;
}
