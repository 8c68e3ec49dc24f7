// A network in memory for gossip: datagrams that get lost, late, doubled and out of order, and exchanges over something like
// TCP, which resends what is lost. All chance comes from one seed. Its transports have the shape of the gossip package's
// transport interface.

import type { Clock } from "@piko/tunnel";
import type { SeededRandom } from "./seeded-random.js";

/** What a network does to packets. */
export interface NetworkConditions {
  /** Part of all packets that are lost, 0 to 1. */
  loss: number;
  /** Part of all packets that arrive twice. */
  duplication: number;
  /** Shortest and longest time that a packet takes; the spread puts packets out of order. */
  delayMs: readonly [number, number];
}

/** Finds where a message over TCP ends, and may say that it is none. */
export interface NetworkMessageEnd {
  find(bytes: Buffer, end: number): number | undefined;
}

/** Who gets what arrives. */
export interface NetworkReceiver {
  onPacket(packet: Buffer, fromIp: string): void;
  /** Finds the end of a request; without it every request is whole. */
  requestEnd?(): NetworkMessageEnd;
  onRequest(
    request: Buffer,
    fromIp: string,
    answer: (pieces: Iterator<Buffer> | undefined) => void,
    end: NetworkMessageEnd,
  ): void;
}

type ExchangeDone = (error: Error | undefined, response: Buffer) => void;

/** Time that TCP waits before it repeats a SYN, and other segments; doubled each time. */
const SYN_TIMEOUT_MS = 1_000;
const SEGMENT_TIMEOUT_MS = 200;
const NOTHING = Buffer.alloc(0);
/** Of requests that are whole as they come. */
const WHOLE: NetworkMessageEnd = { find: (_bytes, end) => end };

/** How a transport ends: with its process (the host refuses TCP), or with its host (everything vanishes). */
export type CrashKind = "process" | "host";

/** The network between transports. */
export class SimulatedNetwork {
  readonly conditions: NetworkConditions;
  readonly clock: Clock;
  readonly #random: SeededRandom;
  readonly #transports = new Map<string, SimulatedTransport>();
  readonly #hosts = new Set<string>();
  /** Side of a partition by IP address; those without a side are on side 0. */
  #sides = new Map<string, number>();
  packets = 0;
  packetBytes = 0;
  exchanges = 0;
  exchangeBytes = 0;

  constructor(clock: Clock, random: SeededRandom, conditions: Partial<NetworkConditions> = {}) {
    this.clock = clock;
    this.#random = random;
    this.conditions = { loss: 0, duplication: 0, delayMs: [0.2, 1], ...conditions };
  }

  /** A transport at an address of the form `ip:port`; it replaces one that was there. */
  transport(address: string): SimulatedTransport {
    const transport = new SimulatedTransport(this, address);
    this.#transports.set(address, transport);
    this.#hosts.add(transport.ip);
    return transport;
  }

  /** Ends a transport without its user's doing. */
  crash(transport: SimulatedTransport, kind: CrashKind): void {
    if (this.#transports.get(transport.address) === transport) this.#transports.delete(transport.address);
    if (kind === "host") this.#hosts.delete(transport.ip);
    transport.gone = true;
  }

  /** Lets hosts reach only those of their own group; the rest is one more group. */
  partition(...groups: readonly (readonly string[])[]): void {
    this.#sides = new Map(groups.flatMap((ips, i) => ips.map((ip) => [ip, i + 1] as const)));
  }

  heal(): void {
    this.#sides = new Map();
  }

  /** @internal */
  sendPacket(from: SimulatedTransport, to: string, packet: Buffer): void {
    this.packets += 1;
    this.packetBytes += packet.length;
    const copies = this.#random.next() < this.conditions.duplication ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.#random.next() < this.conditions.loss) continue;
      this.clock.setTimeout(() => {
        const target = this.#reach(from, to);
        target?.receiver?.onPacket(packet, from.ip);
      }, this.#delay());
    }
  }

  /** @internal */
  exchange(
    from: SimulatedTransport,
    to: string,
    request: Buffer,
    responseEnd: NetworkMessageEnd,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void {
    this.exchanges += 1;
    let over = false;
    const finish = (error: Error | undefined, response: Buffer): void => {
      if (over || from.gone) return;
      over = true;
      this.clock.clearTimeout(deadline);
      done(error, response);
    };
    const deadline = this.clock.setTimeout(
      () => finish(networkError("PIKO_GOSSIP_TIMEOUT", "no answer in time"), NOTHING),
      timeoutMs,
    );
    // A step is lost as a whole and repeated by the sender until the exchange is given up.
    const step = (timeout: number, loss: number, arrived: () => boolean): void => {
      if (over || from.gone) return;
      if (this.#random.next() < loss) {
        this.clock.setTimeout(() => step(2 * timeout, loss, arrived), timeout);
        return;
      }
      this.clock.setTimeout(() => {
        if (!over && !arrived()) this.clock.setTimeout(() => step(2 * timeout, loss, arrived), timeout);
      }, this.#delay());
    };
    const { loss } = this.conditions;
    const host = to.slice(0, to.lastIndexOf(":"));
    const refuse = (): boolean => {
      finish(networkError("PIKO_GOSSIP_UNREACHABLE", "connection refused"), NOTHING);
      return true;
    };
    const read = (response: Buffer): void => {
      try {
        const end = responseEnd.find(response, response.length);
        if (end === undefined)
          finish(networkError("PIKO_GOSSIP_EXCHANGE", "closed without an answer"), NOTHING);
        else finish(undefined, response.subarray(0, end));
      } catch (error) {
        finish(networkError("PIKO_GOSSIP_EXCHANGE", (error as Error).message), NOTHING);
      }
    };
    // Connecting takes a packet there and one back.
    step(SYN_TIMEOUT_MS, 1 - (1 - loss) ** 2, () => {
      if (!this.#joined(from.ip, host) || !this.#hosts.has(host)) return false;
      if (!this.#transports.has(to)) return refuse();
      step(SEGMENT_TIMEOUT_MS, loss, () => {
        if (!this.#joined(from.ip, host) || !this.#hosts.has(host)) return false;
        const target = this.#transports.get(to);
        if (target === undefined) return refuse();
        if (target.receiver === undefined) return refuse();
        const end = target.receiver.requestEnd?.() ?? WHOLE;
        const whole = cut(request, end);
        if (whole === undefined) {
          finish(networkError("PIKO_GOSSIP_EXCHANGE", "closed without an answer"), NOTHING);
          return true;
        }
        const answer = (pieces: Iterator<Buffer> | undefined): void => {
          if (pieces === undefined) {
            refuse();
            return;
          }
          const response = joinPieces(pieces);
          this.exchangeBytes += request.length + response.length;
          step(SEGMENT_TIMEOUT_MS, loss, () => {
            if (!this.#joined(from.ip, host) || !this.#hosts.has(host)) return false;
            read(response);
            return true;
          });
        };
        target.receiver.onRequest(whole, from.ip, answer, end);
        return true;
      });
      return true;
    });
    return () => {
      over = true;
      this.clock.clearTimeout(deadline);
    };
  }

  /** @internal */
  close(transport: SimulatedTransport): void {
    this.crash(transport, "process");
  }

  #reach(from: SimulatedTransport, to: string): SimulatedTransport | undefined {
    const target = this.#transports.get(to);
    return target !== undefined && this.#joined(from.ip, target.ip) ? target : undefined;
  }

  #joined(a: string, b: string): boolean {
    return (this.#sides.get(a) ?? 0) === (this.#sides.get(b) ?? 0);
  }

  #delay(): number {
    const [shortest, longest] = this.conditions.delayMs;
    return shortest + this.#random.next() * (longest - shortest);
  }
}

/** One address on the network. */
export class SimulatedTransport {
  readonly address: string;
  readonly ip: string;
  receiver: NetworkReceiver | undefined;
  gone = false;
  readonly #network: SimulatedNetwork;

  constructor(network: SimulatedNetwork, address: string) {
    this.#network = network;
    this.address = address;
    this.ip = address.slice(0, address.lastIndexOf(":"));
  }

  attach(receiver: NetworkReceiver): void {
    this.receiver = receiver;
  }

  sendPacket(address: string, packet: Buffer): void {
    if (!this.gone) this.#network.sendPacket(this, address, packet);
  }

  exchange(
    address: string,
    request: Buffer,
    responseEnd: NetworkMessageEnd,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void {
    return this.#network.exchange(this, address, request, responseEnd, timeoutMs, done);
  }

  comesFrom(address: string, ip: string): boolean {
    return address.slice(0, address.lastIndexOf(":")) === ip;
  }

  async close(): Promise<void> {
    this.#network.close(this);
  }
}

/** An answer in one piece. */
export function joinPieces(pieces: Iterator<Buffer>): Buffer {
  const all: Buffer[] = [];
  for (let piece = pieces.next(); piece.done !== true; piece = pieces.next()) all.push(piece.value);
  return Buffer.concat(all);
}

/** A request up to its end; undefined if it has none, or is none. */
function cut(request: Buffer, end: NetworkMessageEnd | undefined): Buffer | undefined {
  if (end === undefined) return request;
  try {
    const length = end.find(request, request.length);
    return length === undefined ? undefined : request.subarray(0, length);
  } catch {
    return undefined;
  }
}

function networkError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
