// Builds datagrams that stay within the packet size. A node's entries never continue in a second packet of the same answer:
// packets get lost and overtake each other, and a receiver that applied the later entries first never applies the earlier ones.

import { writeDeltaHead, writeDigestHead, writePacketNode } from "../wire/packet-codec.js";
import { writeDigestEntry, writeEntry } from "../wire/struct-codec.js";
import type { DigestEntry, Entry, Sender } from "../wire/messages.js";
import { MsgpackWriter } from "../wire/msgpack-writer.js";
import type { DeltaSource } from "../state/node-state.js";

/** Delta packets, and what did not fit into them. */
export interface DeltaPackets {
  readonly packets: readonly Buffer[];
  readonly entryCount: number;
  /** Nodes with entries left over. */
  readonly leftOver: readonly DeltaSource[];
}

export interface PacketBuilderOptions {
  readonly from: Sender;
  readonly maxPacketSize: number;
}

/** The version with the longest encoding. */
const WIDEST_VERSION = 2 ** 52;

/** Size of a digest entry with an id of a few letters and an IPv4 address. */
const MIN_DIGEST_ENTRY_BYTES = 40;

/** Builds one node's packets. */
export class PacketBuilder {
  readonly #from: Sender;
  readonly #max: number;
  /** Maximum bytes of each delta packet in an answer. */
  #room = 0;
  readonly #packet = new MsgpackWriter();
  readonly #section = new MsgpackWriter();

  constructor({ from, maxPacketSize }: PacketBuilderOptions) {
    this.#from = from;
    this.#max = maxPacketSize;
  }

  get maxPacketSize(): number {
    return this.#max;
  }

  /** Digest entries that can fit into a packet: the number that would fit with the shortest ids and addresses. */
  get maxDigestEntries(): number {
    return Math.ceil(this.#max / MIN_DIGEST_ENTRY_BYTES);
  }

  /** Whether an entry of this node fits into a packet of its own, whatever its version. */
  fits(key: string, value: string): boolean {
    const packet = this.#packet;
    packet.reset();
    writeDeltaHead(packet, this.#from);
    writePacketNode(packet, this.#from.nodeId, this.#from.addr, 1);
    writeEntry(packet, { key, value, version: WIDEST_VERSION, internal: false, deleted: false });
    return packet.length <= this.#max;
  }

  /** Builds a digest of as many entries as fit, from the first one. */
  digest(
    request: boolean,
    entries: readonly DigestEntry[],
    maxBytes: number = this.#max,
  ): { packet: Buffer; count: number } {
    const max = Math.min(this.#max, maxBytes);
    const packet = this.#packet;
    packet.reset();
    writeDigestHead(packet, this.#from, request);
    let count = 0;
    for (const entry of entries) {
      const before = packet.length;
      writeDigestEntry(packet, entry);
      if (packet.length > max) {
        packet.truncate(before);
        break;
      }
      count += 1;
    }
    return { packet: packet.copy(), count };
  }

  /** Builds at least one packet, since each is a sign of life, and at most `maxPackets`, with what is new to a peer. */
  deltas(
    sources: readonly DeltaSource[],
    maxPackets: number,
    maxBytes: number = Number.POSITIVE_INFINITY,
  ): DeltaPackets {
    // If `maxBytes` is below one packet, the only packet is smaller. A remainder above whole packets isn't used for another one.
    this.#room = Math.min(this.#max, maxBytes);
    const limit = Math.max(1, Math.min(maxPackets, Math.floor(maxBytes / this.#room)));
    const packets: Buffer[] = [];
    const leftOver: DeltaSource[] = [];
    let entryCount = 0;
    this.#startDelta();
    let empty = true;
    for (const node of sources) {
      const last = packets.length + 1 >= limit;
      let written = this.#writeNode(node, empty || last ? "part" : "whole");
      if (written === 0 && !empty && !last) {
        packets.push(this.#packet.copy());
        this.#startDelta();
        written = this.#writeNode(node, "part");
        empty = true;
      }
      if (written !== 0) empty = false;
      if (written <= 0) leftOver.push(node);
      entryCount += Math.abs(written);
    }
    packets.push(this.#packet.copy());
    return { packets, entryCount, leftOver };
  }

  /** Builds a delta packet of one node's entries, which must fit. */
  delta(id: string, addr: string, entries: readonly Entry[]): Buffer {
    this.#startDelta();
    writePacketNode(this.#packet, id, addr, entries.length);
    for (const entry of entries) writeEntry(this.#packet, entry);
    return this.#packet.copy();
  }

  #startDelta(): void {
    this.#packet.reset();
    writeDeltaHead(this.#packet, this.#from);
  }

  /** Adds a node's entries and returns how many; negative if only some fit. "whole" adds all or none (0). */
  #writeNode({ id, addr, state, above }: DeltaSource, how: "whole" | "part"): number {
    const packet = this.#packet;
    const section = this.#section;
    // The size of the head with the longest encoding of the count.
    section.reset();
    writePacketNode(section, id, addr, 0x7fff);
    const room = this.#room - packet.length - section.length;
    section.reset();
    let count = 0;
    let complete = true;
    state.visitAbove(above, (entry) => {
      const before = section.length;
      writeEntry(section, entry);
      if (section.length <= room) {
        count += 1;
        return true;
      }
      section.truncate(before);
      complete = false;
      return false;
    });
    if (count === 0 || (!complete && how === "whole")) return 0;
    writePacketNode(packet, id, addr, count);
    packet.append(section);
    return complete ? count : -count;
  }
}
