// Wraps a transport and encrypts what goes through it. Gossip above and sockets below are unaware of it; a message's origin,
// and which of this node's messages it answers, are passed up alongside the message.

import type { Clock } from "@piko/tunnel";
import type { TrafficBytes } from "../protocol/counters.js";
import type { DropReason, Drops } from "../protocol/drops.js";
import type {
  Answer,
  ExchangeDone,
  GossipTransport,
  MessageEnd,
  PacketOrigin,
  TransportReceiver,
} from "../protocol/transport.js";
import { GossipError } from "../wire/errors.js";
import { KIND_PACKET, isSealed, type MessageId } from "./envelope.js";
import type { KeyRing } from "./key-ring.js";
import { type Opened, Opener } from "./opener.js";
import {
  PACKET_OVERHEAD_BYTES,
  type PacketText,
  createReference,
  readPacketText,
  writePacketText,
} from "./packet-text.js";
import {
  AnswerRecords,
  isInRecords,
  PREAMBLE,
  RECORD_OVERHEAD_BYTES,
  sealAnswer,
  sealRequest,
} from "./records.js";
import { createRefusal, throwIfRefused } from "./refusal.js";
import { RequestEnd } from "./request-end.js";
import { Sealer } from "./sealer.js";

/**
 * What is sent, and what is accepted: plain and plain only (off), plain and both (accept), sealed and both (prefer), or sealed
 * and sealed only (required).
 */
export type GossipEncryption = "off" | "accept" | "prefer" | "required";

export interface SealedTransportOptions {
  readonly transport: GossipTransport;
  readonly encryption: GossipEncryption;
  readonly keys: KeyRing;
  /** 16 random bytes, never used before. */
  readonly lifeId: Buffer;
  /** Maximum difference between the clocks of two nodes. */
  readonly maxClockSkewMs: number;
  readonly drops: Drops;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

const NOTHING: Buffer = Buffer.alloc(0);

/** A transport that seals. */
export class SealedTransport implements GossipTransport {
  /** Bytes by which each packet has to be shorter. */
  readonly packetOverheadBytes: number;
  /** Bytes on the wire that gossip doesn't see: envelopes, and dropped messages. */
  readonly overhead: TrafficBytes = {
    streamBytesInbound: 0,
    streamBytesOutbound: 0,
    packetBytesInbound: 0,
    packetBytesOutbound: 0,
  };
  readonly #inner: GossipTransport;
  readonly #encryption: GossipEncryption;
  readonly #sealer: Sealer;
  readonly #opener: Opener;
  readonly #drops: Drops;

  constructor(options: SealedTransportOptions) {
    const { clock, encryption, keys, lifeId, maxClockSkewMs, wallNow } = options;
    this.#inner = options.transport;
    this.#encryption = encryption;
    this.#drops = options.drops;
    this.#sealer = new Sealer({ keys, lifeId, wallNow });
    this.#opener = new Opener({ keys, clock, wallNow, maxClockSkewMs });
    this.packetOverheadBytes = encryption === "off" ? 0 : PACKET_OVERHEAD_BYTES;
  }

  /** Number of senders that are remembered. */
  get lives(): number {
    return this.#opener.lives;
  }

  attach(receiver: TransportReceiver): void {
    this.#inner.attach({
      onPacket: (packet, ip) => this.#onPacket(receiver, packet, ip),
      onConnectionRefused: () => receiver.onConnectionRefused(),
      requestEnd: () => this.#requestEnd(receiver),
      onRequest: (request, ip, answer, end) => this.#onRequest(receiver, request, ip, answer, end),
    });
  }

  sendPacket(address: string, packet: Buffer, answers?: Buffer): void {
    if (!this.#seals) {
      this.#inner.sendPacket(address, packet);
      return;
    }
    const sealed = this.#sealer.seal(this.#sealer.next(), KIND_PACKET, writePacketText(packet, answers));
    this.overhead.packetBytesOutbound += sealed.length - packet.length;
    this.#inner.sendPacket(address, sealed);
  }

  exchange(
    address: string,
    request: Buffer,
    responseEnd: MessageEnd,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void {
    if (!this.#seals) return this.#inner.exchange(address, request, plainEnd(responseEnd), timeoutMs, done);
    const { bytes, id } = sealRequest(this.#sealer, request);
    const records = new AnswerRecords(this.#opener, id);
    const end = this.#answerEnd(address, records);
    this.overhead.streamBytesOutbound += bytes.length - request.length;
    return this.#inner.exchange(address, bytes, end, timeoutMs, (error, answer) => {
      const { header, text } = records;
      this.overhead.streamBytesInbound += error === undefined ? answer.length - text.length : 0;
      if (error !== undefined) done(error, NOTHING);
      else if (text.length > 0 || header === undefined) done(undefined, text);
      else done(this.#clockError(address, this.#opener.aheadMs(header)), NOTHING);
    });
  }

  comesFrom(address: string, ip: string): boolean {
    return this.#inner.comesFrom(address, ip);
  }

  async close(): Promise<void> {
    await this.#inner.close();
  }

  get #seals(): boolean {
    return this.#encryption === "prefer" || this.#encryption === "required";
  }

  #onPacket(receiver: TransportReceiver, packet: Buffer, ip: string): void {
    if (!isSealed(packet)) {
      if (this.#encryption === "required") this.#drop(packet, "plain", ip);
      else receiver.onPacket(packet, ip);
      return;
    }
    if (this.#encryption === "off") {
      this.#drop(packet, "key", ip);
      return;
    }
    const opened = this.#opener.open(packet, KIND_PACKET);
    const text = "text" in opened ? readPacketText(opened.text) : undefined;
    if (opened.ok && text !== undefined) {
      const { lifeId, counter } = opened.header;
      this.overhead.packetBytesInbound += packet.length - text.message.length;
      const origin: PacketOrigin = {
        reference: createReference(lifeId, counter),
        answers: this.#answers(text),
      };
      receiver.onPacket(text.message, ip, origin);
      return;
    }
    this.#drop(packet, opened.ok ? "malformed" : opened.reason, ip);
    if (!opened.ok && opened.reason === "clock" && text !== undefined)
      receiver.onClockOff?.(text.message, opened.aheadMs);
  }

  #drop(packet: Buffer, reason: DropReason, ip: string): void {
    this.overhead.packetBytesInbound += packet.length;
    this.#drops.add(reason, ip);
  }

  /** Unless encryption is required, there are also answers to plain questions, which carry no reference. */
  #answers({ lifeId, counter }: PacketText): boolean {
    if (lifeId === undefined) return this.#encryption !== "required";
    return lifeId.equals(this.#sealer.lifeId) && this.#sealer.hasSent(counter);
  }

  #requestEnd(receiver: TransportReceiver): RequestEnd {
    return new RequestEnd({
      plain: this.#encryption === "required" ? undefined : () => receiver.requestEnd(),
      opener: this.#encryption === "off" ? undefined : this.#opener,
    });
  }

  #onRequest(
    receiver: TransportReceiver,
    request: Buffer,
    ip: string,
    respond: Answer,
    end: MessageEnd,
  ): void {
    const { overhead } = this;
    const refuse = (reason: DropReason): void => {
      this.#drops.add(reason, ip);
      const refusal = createRefusal(reason);
      overhead.streamBytesInbound += request.length;
      overhead.streamBytesOutbound += refusal.length;
      respond([refusal].values());
    };
    if (!isSealed(request)) {
      if (this.#encryption === "required") refuse("plain");
      else receiver.onRequest(request, ip, respond, end);
      return;
    }
    if (this.#encryption === "off") {
      refuse("key");
      return;
    }
    const records = end instanceof RequestEnd ? end.records : undefined;
    const opened: Opened = records?.opened ?? { ok: false, reason: "malformed" };
    if (!opened.ok && opened.reason !== "clock") {
      refuse(opened.reason);
      return;
    }
    const { header } = opened;
    if (opened.ok) {
      overhead.streamBytesInbound += request.length - opened.text.length;
      const answer: Answer = (pieces) => {
        respond(pieces === undefined ? undefined : this.#sealAnswer(header, pieces));
      };
      receiver.onRequest(opened.text, ip, answer, end);
      return;
    }
    this.#drops.add("clock", ip);
    overhead.streamBytesInbound += request.length;
    receiver.onClockOff?.(opened.text, opened.aheadMs);
    respond(this.#sealAnswer(header, [].values()));
  }

  *#sealAnswer(question: MessageId, pieces: Iterator<Buffer>): Generator<Buffer, undefined> {
    for (const piece of sealAnswer(this.#sealer, question, pieces)) {
      const isRecord = piece.length > PREAMBLE.length;
      this.overhead.streamBytesOutbound += isRecord ? RECORD_OVERHEAD_BYTES : piece.length;
      yield piece;
    }
  }

  #answerEnd(address: string, records: AnswerRecords): MessageEnd {
    return {
      find: (bytes, end) => {
        if (end === 0 || throwIfRefused(bytes, end)) return undefined;
        const sealed = isInRecords(bytes, end);
        if (sealed === undefined) return undefined;
        const found = sealed ? records.find(bytes, end) : "plain";
        if (typeof found !== "string") return found;
        this.#drops.add(found, address);
        throw new GossipError("PIKO_GOSSIP_REFUSED", ANSWER_TEXTS[found]);
      },
    };
  }

  #clockError(address: string, aheadMs: number): GossipError {
    const off = `${(Math.abs(aheadMs) / 1_000).toFixed(1)} s ${aheadMs > 0 ? "ahead of" : "behind"} this one's`;
    return new GossipError(
      "PIKO_GOSSIP_CLOCK",
      `exchange with ${address}: refused, since the other node's clock is ${off}`,
    );
  }
}

const ANSWER_TEXTS = {
  plain: "the answer is not encrypted",
  key: "the answer is encrypted by a key that this node doesn't have",
  malformed: "the answer is damaged, or of a cluster with another cluster.name",
} as const;

/** Finds the end of an answer that isn't sealed; throws if it is a refusal. */
function plainEnd(end: MessageEnd): MessageEnd {
  return {
    find: (bytes, length) =>
      length === 0 || throwIfRefused(bytes, length) ? undefined : end.find(bytes, length),
  };
}
