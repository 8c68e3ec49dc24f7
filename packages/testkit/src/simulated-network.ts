// An in-memory network for gossip: datagrams that are lost, delayed, duplicated and reordered, and exchanges over a model of TCP,
// which retransmits. All randomness comes from one seed. Its transports match the interface of the gossip package's transports.

import type { Clock } from "@piko/tunnel";
import type { SeededRandom } from "./seeded-random.js";

/** What a network does to packets. */
export interface NetworkConditions {
  /** Fraction of packets that are lost, 0 to 1. */
  loss: number;
  /** Fraction of packets that arrive twice. */
  duplication: number;
  /** Minimum and maximum delay of a packet; the difference reorders packets. */
  delayMs: readonly [number, number];
}

/** Finds where a message over TCP ends; `find` throws if the message is invalid. */
export interface NetworkMessageEnd {
  find(bytes: Buffer, end: number): number | undefined;
}

/** Receives what arrives at a transport. */
export interface NetworkReceiver {
  onPacket(packet: Buffer, fromIp: string): void;
  /** Finds the end of a request; without it, every request counts as complete. */
  requestEnd?(): NetworkMessageEnd;
  onRequest(
    request: Buffer,
    fromIp: string,
    answer: (pieces: Iterator<Buffer> | undefined) => void,
    end: NetworkMessageEnd,
  ): void;
}

type ExchangeDone = (error: Error | undefined, response: Buffer) => void;

/** Time until TCP retransmits a SYN, and other segments; it doubles each time. */
const SYN_TIMEOUT_MS = 1_000;
const SEGMENT_TIMEOUT_MS = 200;
const NOTHING = Buffer.alloc(0);
/** For requests that are complete as they arrive. */
const WHOLE: NetworkMessageEnd = { find: (_bytes, end) => end };

/** How a transport fails: with its process (the host refuses TCP), or with its host (nothing answers). */
export type CrashKind = "process" | "host";

/** The network between transports. */
export class SimulatedNetwork {
  readonly conditions: NetworkConditions;
  readonly clock: Clock;
  readonly #random: SeededRandom;
  readonly #transports = new Map<string, SimulatedTransport>();
  readonly #hosts = new Set<string>();
  /** Side of a partition by IP address; all others are on side 0. */
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

  /** Creates a transport at an address of the form `ip:port`; it replaces an existing one. */
  transport(address: string): SimulatedTransport {
    const transport = new SimulatedTransport(this, address);
    this.#transports.set(address, transport);
    this.#hosts.add(transport.ip);
    return transport;
  }

  /** Ends a transport without its user taking part. */
  crash(transport: SimulatedTransport, kind: CrashKind): void {
    if (this.#transports.get(transport.address) === transport) this.#transports.delete(transport.address);
    if (kind === "host") this.#hosts.delete(transport.ip);
    transport.gone = true;
  }

  /** Lets hosts reach only hosts of their own group; all others form one more group. */
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
    // A step is lost as a whole, and the sender repeats it until the exchange is given up.
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
    // Connecting takes a packet in each direction.
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

/** Joins the pieces of a response. */
export function joinPieces(pieces: Iterator<Buffer>): Buffer {
  const all: Buffer[] = [];
  for (let piece = pieces.next(); piece.done !== true; piece = pieces.next()) all.push(piece.value);
  return Buffer.concat(all);
}

/** Cuts a request at its end; undefined if it is incomplete or invalid. */
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
