// The UDP half of the gossip port. Packets are handed to the system without waiting for a result.

import { type Socket, createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { canonicalIp } from "../wire/peer-address.js";

/** Room for bursts: every member of a large cluster may answer within the same millisecond. */
const RECEIVE_BUFFER_BYTES = 1_024 * 1_024;

/** A bound UDP socket. */
export class PacketSocket {
  readonly #socket: Socket;
  readonly #mapsIpv4: boolean;
  #closed = false;

  private constructor(socket: Socket, mapsIpv4: boolean) {
    this.#socket = socket;
    this.#mapsIpv4 = mapsIpv4;
  }

  /** Binds a port on an IP address; rejects with the system's error. On `::` it receives IPv4, too. */
  static async bind(
    ip: string,
    port: number,
    onPacket: (packet: Buffer, ip: string) => void,
  ): Promise<PacketSocket> {
    const socket = createSocket({
      type: isIPv6(ip) ? "udp6" : "udp4",
      // Packets are only ever sent to IP addresses; without this, each one would start a lookup in a resolver thread.
      lookup: (host, _options, done) => done(null, host, isIPv6(host) ? 6 : 4),
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address: ip, port }, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    socket.on("error", () => {});
    socket.on("message", (packet, { address }) => onPacket(packet, canonicalIp(address)));
    try {
      socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
    } catch {
      // The system's default size remains.
    }
    return new PacketSocket(socket, ip === "::");
  }

  send(packet: Buffer, ip: string, port: number): void {
    if (this.#closed) return;
    const address = this.#mapsIpv4 && !isIPv6(ip) ? `::ffff:${ip}` : ip;
    // A packet that can't be sent is lost, like any other.
    this.#socket.send(packet, port, address, () => {});
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}
