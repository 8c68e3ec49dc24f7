// Attacks encrypted gossip with arbitrary packets: sealed ones, in and out of order, repeated, late, changed, truncated and
// concatenated, with other keys and clocks. A model that remembers everything sent knows what must be accepted: each message
// of a member once, while it is recent, and nothing else.

import { SeededRandom, SimulatedClock } from "@piko/testkit";
import { Drops } from "../../packages/piko/src/gossip/protocol/drops.js";
import type {
  GossipTransport,
  TransportReceiver,
} from "../../packages/piko/src/gossip/protocol/transport.js";
import { KIND_PACKET } from "../../packages/piko/src/gossip/sealed/envelope.js";
import { createGossipKey } from "../../packages/piko/src/gossip/sealed/gossip-key.js";
import { KeyRing } from "../../packages/piko/src/gossip/sealed/key-ring.js";
import { writePacketText } from "../../packages/piko/src/gossip/sealed/packet-text.js";
import { sealRequest } from "../../packages/piko/src/gossip/sealed/records.js";
import { SealedTransport } from "../../packages/piko/src/gossip/sealed/sealed-transport.js";
import { Sealer } from "../../packages/piko/src/gossip/sealed/sealer.js";

const SKEW_MS = 60_000;
const WINDOW = 4_096;
/** Senders at a time; each is replaced by a new life now and then. */
const SENDERS = 4;
/** Number of packets that are kept to be repeated and changed. */
const KEPT = 2_048;
/** Mean number of packets of a life. */
const LIFE_PACKETS = 20_000;

/** Results of a campaign. */
export interface GossipSummary {
  packets: number;
  counted: number;
  requests: number;
  readonly dropped: ReadonlyMap<string, number>;
  /** Lives that the receiver remembers at the end, and the maximum during the campaign. */
  lives: number;
  maxLives: number;
}

interface Sent {
  readonly bytes: Buffer;
  readonly life: Life;
  readonly counter: number;
  readonly timeMs: number;
  readonly text: string;
}

/** One life of a sender, and its messages that were accepted. */
class Life {
  readonly sealer: Sealer;
  /** Sealed with another key or cluster name: no message may be accepted. */
  readonly foreign: boolean;
  readonly packets = new Seen();
  readonly requests = new Seen();

  constructor(sealer: Sealer, foreign: boolean) {
    this.sealer = sealer;
    this.foreign = foreign;
  }
}

/** The counters of accepted packets, or accepted requests, of one life. */
class Seen {
  readonly #seen = new Set<number>();
  #highest = 0;

  /** Returns whether a message must be accepted now, and if so, marks it as seen. */
  take(counter: number): boolean {
    if (this.#seen.has(counter) || this.#highest - counter >= WINDOW) return false;
    this.#seen.add(counter);
    this.#highest = Math.max(this.#highest, counter);
    for (const old of this.#seen) {
      if (this.#seen.size < 2 * WINDOW || this.#highest - old < WINDOW) break;
      this.#seen.delete(old);
    }
    return true;
  }
}

/** Sends packets; throws at the first one that is wrongly accepted or wrongly dropped. */
export class GossipCampaign {
  readonly summary: GossipSummary;
  readonly #random: SeededRandom;
  readonly #clock = new SimulatedClock();
  readonly #keys = [1, 2, 3].map((byte) => createGossipKey(Buffer.alloc(32, byte)));
  readonly #ring = new KeyRing("piko", this.#keys.slice(0, 2));
  readonly #transport: SealedTransport;
  readonly #lives: Life[] = [];
  readonly #kept: Sent[] = [];
  #receiver: TransportReceiver | undefined;
  /** The content of the last packet, if the receiver accepted it. */
  #received: string | undefined;
  #count = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    const drops = new Drops(this.#clock, { debug: () => {}, info: () => {}, warn: () => {} });
    const inner: GossipTransport = {
      attach: (receiver) => (this.#receiver = receiver),
      sendPacket: () => {},
      exchange: () => () => {},
      comesFrom: () => true,
      close: async () => {},
    };
    this.#transport = new SealedTransport({
      transport: inner,
      encryption: "required",
      keys: this.#ring,
      lifeId: Buffer.from(this.#random.bytes(16)),
      maxClockSkewMs: SKEW_MS,
      drops,
      clock: this.#clock,
      wallNow: () => this.#wallNow(),
    });
    this.#transport.attach({
      onPacket: (packet) => (this.#received = packet.toString("latin1")),
      onConnectionRefused: () => {},
      requestEnd: () => ({ find: (_bytes, end) => end }),
      onRequest: (request, _ip, answer) => {
        this.#received = request.toString("latin1");
        answer([].values());
      },
    });
    this.summary = { packets: 0, counted: 0, requests: 0, dropped: drops.counts, lives: 0, maxLives: 0 };
    for (let i = 0; i < SENDERS; i++) this.#lives.push(this.#newLife());
  }

  run(packets: number): void {
    for (let i = 0; i < packets; i++) this.#step();
    this.summary.lives = this.#transport.lives;
  }

  #step(): void {
    const random = this.#random;
    this.summary.packets += 1;
    this.#clock.run(random.int(0, 3));
    if (random.int(1, LIFE_PACKETS / SENDERS) === 1) {
      this.#lives[random.int(0, SENDERS - 1)] = this.#newLife();
      this.summary.maxLives = Math.max(this.summary.maxLives, this.#transport.lives);
    }
    const chance = random.next();
    if (chance < 0.3) this.#deliver(this.#send());
    // Sent and held back: it arrives out of order, or never.
    else if (chance < 0.4) this.#keep(this.#send());
    else if (chance < 0.6) this.#deliver(this.#kept.length === 0 ? this.#send() : random.pick(this.#kept));
    else if (chance < 0.61) this.#request();
    else this.#deliverBytes(this.#mutated(), undefined);
  }

  #wallNow(): number {
    return 1_700_000_000_000 + this.#clock.now();
  }

  #newLife(): Life {
    const random = this.#random;
    const kind = random.int(0, 7);
    // Members use either key. Strangers use a third one, another cluster name, or a clock that is wrong.
    const key = this.#keys[kind === 0 ? 2 : random.int(0, 1)];
    const ring = new KeyRing(kind === 1 ? "other" : "piko", key === undefined ? [] : [key]);
    const ahead = kind === 2 ? random.pick([-1, 1]) * (SKEW_MS + random.int(1, 600_000)) : 0;
    const sealer = new Sealer({
      keys: ring,
      lifeId: Buffer.from(random.bytes(16)),
      wallNow: () => this.#wallNow() + ahead,
    });
    return new Life(sealer, kind <= 1);
  }

  #send(): Sent {
    const life = this.#random.pick(this.#lives);
    const id = life.sealer.next();
    const text = `${++this.#count} ${"x".repeat(this.#random.int(0, 60))}`;
    const bytes = life.sealer.seal(id, KIND_PACKET, writePacketText(Buffer.from(text), undefined));
    const sent = { bytes, life, counter: id.counter, timeMs: id.timeMs, text };
    this.#keep(sent);
    return sent;
  }

  #keep(sent: Sent): void {
    if (this.#kept.length < KEPT) this.#kept.push(sent);
    else this.#kept[this.#random.int(0, KEPT - 1)] = sent;
  }

  #deliver(sent: Sent): void {
    const { life, counter, timeMs } = sent;
    const counts = !life.foreign && this.#isYoung(timeMs) && life.packets.take(counter);
    this.#deliverBytes(sent.bytes, counts ? sent.text : undefined);
  }

  /** A message sealed by a clock that is ahead is accepted later, once it is within the limit. */
  #isYoung(timeMs: number): boolean {
    return Math.abs(timeMs - this.#wallNow()) <= SKEW_MS;
  }

  #deliverBytes(bytes: Buffer, expected: string | undefined): void {
    this.#received = undefined;
    this.#receiver?.onPacket(bytes, "192.0.2.1");
    if (this.#received !== expected)
      throw new Error(
        `packet ${this.summary.packets}: got ${this.#received}, not ${expected}: ${bytes.toString("hex")}`,
      );
    if (expected !== undefined) this.summary.counted += 1;
  }

  /** Bytes that no member has sealed. */
  #mutated(): Buffer {
    const random = this.#random;
    const from = this.#kept.length === 0 ? this.#send() : random.pick(this.#kept);
    const bytes = Buffer.from(from.bytes);
    const at = random.int(0, bytes.length - 1);
    switch (random.int(0, 6)) {
      case 0:
        return bytes.subarray(0, at);
      case 1:
        return Buffer.concat([bytes, Buffer.from(random.bytes(random.int(1, 20)))]);
      case 2:
        // Two packets, the first one truncated, with an extra byte.
        return Buffer.concat([bytes.subarray(0, at), random.pick(this.#kept).bytes, Buffer.from([0])]);
      case 3:
        return Buffer.from(random.bytes(random.int(0, 120)));
      case 4: {
        // Changes the counter to a later one than the packet was sealed with.
        bytes.writeUIntBE((bytes.readUIntBE(30, 6) + random.int(1, 5_000)) % 2 ** 48, 30, 6);
        return bytes;
      }
      default:
        for (let flips = random.int(1, 3); flips > 0; flips--) {
          const where = random.int(0, bytes.length - 1);
          // A different bit each time, so that no two flips cancel out.
          bytes[where] = (bytes[where] ?? 0) ^ (1 << (flips + 1));
        }
        return bytes;
    }
  }

  /** A request over TCP, intact or with one byte changed. It is sent twice. */
  #request(): void {
    const random = this.#random;
    const life = random.pick(this.#lives);
    const text = `request ${++this.#count}`;
    const { bytes, id } = sealRequest(life.sealer, Buffer.from(text));
    const whole = random.next() < 0.3;
    if (!whole) {
      const at = random.int(0, bytes.length - 1);
      bytes[at] = (bytes[at] ?? 0) ^ random.int(1, 255);
    }
    this.summary.requests += 1;
    const counts = whole && !life.foreign && this.#isYoung(id.timeMs) && life.requests.take(id.counter);
    for (const expected of [counts ? text : undefined, undefined]) {
      this.#received = undefined;
      this.#deliverRequest(bytes);
      if (this.#received !== expected)
        throw new Error(
          `request ${this.summary.requests}: got ${this.#received}, not ${expected}: ${bytes.toString("hex")}`,
        );
    }
  }

  #deliverRequest(bytes: Buffer): void {
    try {
      const receiver = this.#receiver;
      const end = receiver?.requestEnd();
      const length = end?.find(bytes, bytes.length);
      if (receiver === undefined || end === undefined || length === undefined) return;
      receiver.onRequest(bytes.subarray(0, length), "192.0.2.1", () => {}, end);
    } catch {
      // In a real transport, the connection would be closed.
    }
  }
}
