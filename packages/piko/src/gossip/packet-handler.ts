// Answers datagrams. A digest is answered with news, always, since news is also the sign of life that the sender waits for;
// a digest that asks for one is answered with a digest, too.

import { decodePacket } from "./codec.js";
import type { GossipCore } from "./core.js";
import type { Exchanges } from "./exchanges.js";
import type { Member } from "./member.js";
import { type DigestEntry, MESSAGE_DIGEST, type NodeDelta, type Packet } from "./messages.js";
import { hearRumours } from "./rumours.js";
import { identify } from "./sender.js";

/** Requests per gossip interval that are sent at once, to go on with news that did not fit into an answer. */
const FOLLOW_UPS = 16;

/** Handles the packets of one node. */
export class PacketHandler {
  readonly #core: GossipCore;
  readonly #exchanges: Exchanges;
  #followUps = FOLLOW_UPS;

  constructor(core: GossipCore, exchanges: Exchanges) {
    this.#core = core;
    this.#exchanges = exchanges;
  }

  /** A gossip interval begins. */
  tick(): void {
    this.#followUps = FOLLOW_UPS;
  }

  handle(bytes: Buffer, ip: string): void {
    const core = this.#core;
    core.counters.packetBytesInbound += bytes.length;
    let packet: Packet;
    try {
      packet = decodePacket(bytes);
    } catch (error) {
      core.counters.packetsRefused += 1;
      core.logger.debug("invalid packet", { ip, error });
      return;
    }
    const digest = packet.type === MESSAGE_DIGEST;
    const sender = identify(core, packet.from, ip, !digest);
    if (sender === undefined) {
      core.counters.packetsRefused += 1;
      return;
    }
    if (packet.type === MESSAGE_DIGEST) this.#digest(sender, packet.request, packet.entries);
    else this.#news(sender, packet.nodes);
  }

  #digest(sender: Member, request: boolean, entries: readonly DigestEntry[]): void {
    const core = this.#core;
    core.counters.digestEntriesInbound += entries.length;
    const fetch = hearRumours(core, entries);
    // One packet for one packet, until the sender has shown that it takes packets at its address.
    const maxPackets = sender.status === "candidate" ? 1 : undefined;
    const leftOver = core.sendNews(sender.addr, core.cluster.newsFor(entries), maxPackets);
    if (request && entries.length > 0) core.sendDigest(sender.addr, false, this.#reply(entries));
    if (sender.status !== "reachable") core.probeMember(sender);
    else if (leftOver.length > 0 && this.#followUps > 0) {
      this.#followUps -= 1;
      core.sendDigest(
        sender.addr,
        true,
        leftOver.map(({ id, addr, state }) => ({ id, addr, version: state.version, left: state.left })),
      );
    }
    if (fetch) this.#exchanges.fetch(sender);
  }

  /** What the sender has newer, so that it sends that, and what it said nothing about. */
  #reply(theirs: readonly DigestEntry[]): DigestEntry[] {
    const { cluster } = this.#core;
    const versions = new Map<string, number>();
    for (const { id, version } of theirs) versions.set(id, version);
    const wanted: DigestEntry[] = [];
    const unsaid: DigestEntry[] = [];
    for (const entry of cluster.digest()) {
      const version = versions.get(entry.id);
      if (version === undefined) unsaid.push(entry);
      else if (version > entry.version) wanted.push(entry);
    }
    return [...wanted, ...this.#core.roundDigest(unsaid)];
  }

  #news(sender: Member, nodes: readonly NodeDelta[]): void {
    const { cluster, counters, local } = this.#core;
    cluster.heard(sender);
    for (const { id, entries } of nodes) {
      counters.deltaEntriesInbound += entries.length;
      if (id === local.id) {
        const newest = entries.at(-1)?.version ?? 0;
        if (newest > local.version) this.#core.outdo(newest);
        continue;
      }
      const member = cluster.find(id);
      // News of a candidate is only whole if it comes from itself: it alone was asked for it.
      if (member !== undefined && (member.status !== "candidate" || member === sender))
        cluster.apply(member, entries);
    }
  }
}
