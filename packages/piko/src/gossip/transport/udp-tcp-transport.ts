// Gossip over real sockets: UDP for packets, TCP for exchanges, on the same port.

import { type AddressInfo, isIP } from "node:net";
import { type Clock, systemClock, HostLookup } from "@piko/tunnel";
import { addressInUse } from "../../base/address-in-use.js";
import { type HostPort, formatHostPort } from "../../base/address.js";
import { GossipError } from "../wire/errors.js";
import { NameCache } from "./name-cache.js";
import { PacketSocket } from "./packet-socket.js";
import { canonicalIp, parsePeerAddress } from "../wire/peer-address.js";
import { StreamClient } from "./stream-client.js";
import { StreamServer } from "./stream-server.js";
import { AllowedAddresses } from "./allowed-addresses.js";
import type { AddressRanges } from "../../base/address-ranges.js";
import type { Drops } from "../protocol/drops.js";
import type { ExchangeDone, GossipTransport, MessageEnd, TransportReceiver } from "../protocol/transport.js";

/** Attempts to find a port that is free for both protocols, if the system chooses it. */
const PORT_ATTEMPTS = 20;
/** Parsed addresses of others to keep. */
const MAX_ADDRESSES = 8_192;

export interface UdpTcpOptions {
  readonly clock?: Clock;
  /** Addresses to exchange gossip with; empty for all, which is the default. */
  readonly allowed?: AddressRanges;
  /** Counts the messages of others. */
  readonly drops?: Drops;
}

/** The gossip port. */
export class UdpTcpTransport implements GossipTransport {
  /** Where it is bound; with an empty host in the options, `::` or `0.0.0.0`. */
  readonly address: HostPort;
  /** Looks up the names of others; closed with the transport. */
  readonly lookup: HostLookup;
  readonly #client: StreamClient;
  readonly #server: StreamServer;
  readonly #socket: PacketSocket;
  readonly #names: NameCache;
  readonly #inbox: Inbox;
  readonly #allowed: AllowedAddresses;
  readonly #addresses = new Map<string, HostPort | undefined>();

  private constructor(
    address: HostPort,
    clock: Clock,
    server: StreamServer,
    socket: PacketSocket,
    inbox: Inbox,
    allowed: AllowedAddresses,
  ) {
    this.#allowed = allowed;
    this.address = address;
    this.#server = server;
    this.#socket = socket;
    this.lookup = new HostLookup({ clock });
    this.#client = new StreamClient(clock, this.lookup, allowed);
    this.#names = new NameCache(clock, this.lookup);
    this.#inbox = inbox;
  }

  /**
   * Binds the port for both protocols, or fails and binds neither. An empty host means all interfaces, port 0 any free port.
   *
   * @throws GossipError PIKO_GOSSIP_LISTEN with the address and the system's reason.
   */
  static async listen(bindAddr: HostPort, options: UdpTcpOptions = {}): Promise<UdpTcpTransport> {
    const { clock = systemClock } = options;
    const allowed = new AllowedAddresses(options.allowed, options.drops);
    for (let attempt = 1; ; attempt++) {
      try {
        return await UdpTcpTransport.#bind(bindAddr, clock, allowed);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (code === "EADDRINUSE" && bindAddr.port === 0 && attempt < PORT_ATTEMPTS) continue;
        if ((code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL") && bindAddr.host === "")
          return UdpTcpTransport.listen({ host: "0.0.0.0", port: bindAddr.port }, options);
        const taken = code === "EADDRINUSE";
        throw new GossipError(
          "PIKO_GOSSIP_LISTEN",
          `gossip listen: ${formatHostPort(bindAddr)}: ${taken ? addressInUse("gossip") : message}`,
          taken ? {} : { cause: error },
        );
      }
    }
  }

  static async #bind(
    { host, port }: HostPort,
    clock: Clock,
    allowed: AllowedAddresses,
  ): Promise<UdpTcpTransport> {
    const inbox: Inbox = { receiver: undefined };
    const server = new StreamServer(clock, () => inbox.receiver, allowed);
    const bound = (await server.listen(host === "" ? "::" : host, port)).address() as AddressInfo;
    try {
      const socket = await PacketSocket.bind(bound.address, bound.port, (packet, ip) => {
        if (allowed.admits(ip)) inbox.receiver?.onPacket(packet, ip);
      });
      const address = { host: bound.address, port: bound.port };
      return new UdpTcpTransport(address, clock, server, socket, inbox, allowed);
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  attach(receiver: TransportReceiver): void {
    this.#inbox.receiver = receiver;
  }

  sendPacket(address: string, packet: Buffer): void {
    const target = this.#parse(address);
    if (target === undefined) return;
    const ip = isIP(target.host) === 0 ? this.#names.find(target.host)[0] : target.host;
    if (ip !== undefined && this.#allowed.has(ip)) this.#socket.send(packet, ip, target.port);
  }

  exchange(
    address: string,
    request: Buffer,
    responseEnd: MessageEnd,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void {
    return this.#client.exchange(address, request, responseEnd, timeoutMs, done);
  }

  comesFrom(address: string, ip: string): boolean {
    const host = this.#parse(address)?.host;
    if (host === undefined) return false;
    return isIP(host) === 0 ? this.#names.find(host).includes(ip) : canonicalIp(host) === ip;
  }

  async close(): Promise<void> {
    this.#inbox.receiver = undefined;
    this.lookup.close();
    await Promise.all([this.#server.close(), this.#socket.close()]);
  }

  #parse(address: string): HostPort | undefined {
    if (this.#addresses.has(address)) return this.#addresses.get(address);
    if (this.#addresses.size >= MAX_ADDRESSES) this.#addresses.clear();
    const parsed = parsePeerAddress(address);
    this.#addresses.set(address, parsed);
    return parsed;
  }
}

/** Where arriving messages go; a holder, because the sockets are bound before the receiver is known. */
interface Inbox {
  receiver: TransportReceiver | undefined;
}
