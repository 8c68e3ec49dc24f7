// Answers datagrams. A digest is always answered with a delta, which is also the sign of life that the sender waits for. A
// digest that requests it is also answered with a digest.

import { decodePacket } from "../wire/packet-codec.js";
import { FOREIGN_ANSWERS, digestEntry } from "../state/cluster-state.js";
import type { GossipCore } from "./core.js";
import type { Exchanges } from "./exchanges.js";
import type { Member } from "../state/member.js";
import { type DigestEntry, MESSAGE_DIGEST, type NodeDelta, type Packet } from "../wire/messages.js";
import type { DeltaSource } from "../state/node-state.js";
import { receiveDigest } from "./digests.js";
import { identify } from "./sender.js";
import type { PacketOrigin } from "./transport.js";

/** Maximum requests per gossip interval that are sent at once to continue with what did not fit into an answer. */
const FOLLOW_UPS = 16;

/** The same for one difference that doesn't change. */
const SAME_FOLLOW_UPS = 3;

/** Handles the packets of one node. */
export class PacketHandler {
  readonly #core: GossipCore;
  readonly #exchanges: Exchanges;
  readonly #onChanges: () => void;
  #followUps = FOLLOW_UPS;
  readonly #followed = new Map<string, number>();
  #answersFrom = Number.POSITIVE_INFINITY;

  /** `onChanges` is called when a packet brought new entries, which are to be passed on. */
  constructor(core: GossipCore, exchanges: Exchanges, onChanges: () => void) {
    this.#core = core;
    this.#exchanges = exchanges;
    this.#onChanges = onChanges;
  }

  /** Called when the first question may be sent. */
  start(): void {
    this.#answersFrom = this.#core.now() + FOREIGN_ANSWERS * this.#core.intervalMs;
  }

  /** A gossip interval begins. */
  tick(): void {
    this.#followUps = FOLLOW_UPS;
    this.#followed.clear();
  }

  /** `origin`: what a sealing transport knows about the packet. */
  handle(bytes: Buffer, ip: string, origin?: PacketOrigin): void {
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
    core.validation.received(sender.addr, bytes.length);
    if (packet.type === MESSAGE_DIGEST) {
      const { request, entries } = packet;
      this.#digest(sender, request, entries, origin?.reference);
    } else if (core.now() >= this.#answersFrom) {
      this.#delta(sender, packet.nodes, origin?.answers ?? true);
    }
  }

  #digest(
    sender: Member,
    request: boolean,
    entries: readonly DigestEntry[],
    reference: Buffer | undefined,
  ): void {
    const core = this.#core;
    core.counters.digestEntriesInbound += entries.length;
    const missing = receiveDigest(core, entries);
    const wantsDigest = request && entries.length > 0;
    if (sender.status === "candidate") {
      // Only one packet until the candidate has shown that packets reach it there; half of its allowance is reserved for the probe.
      core.sendDelta(
        sender.addr,
        core.cluster.deltaFor(entries),
        reference,
        1,
        core.validation.allowance(sender.addr) / 2,
      );
      core.probeMember(sender);
      if (wantsDigest) core.sendDigest(sender.addr, false, this.#reply(entries, missing.members));
    } else {
      const leftOver = core.sendDelta(sender.addr, core.cluster.deltaFor(entries), reference);
      if (wantsDigest) core.sendDigest(sender.addr, false, this.#reply(entries, missing.members));
      if (sender.status === "reachable") this.#followUp(sender, leftOver, request ? [] : missing.members);
      else core.probeMember(sender);
    }
    if (missing.fetch) this.#exchanges.fetch(sender);
  }

  /**
   * Continues at once instead of at the next round: makes the sender ask again for what did not fit, and asks it for what its
   * reply showed to be missing here.
   */
  #followUp(sender: Member, leftOver: readonly DeltaSource[], missing: readonly Member[]): void {
    if (leftOver.length + missing.length === 0 || this.#followUps <= 0) return;
    const entries: DigestEntry[] = [];
    for (const { id, addr, state, above } of leftOver) {
      if (this.#isNew(`${above} ${id} there ${sender.id}`))
        entries.push({ id, addr, version: state.version, left: state.left });
    }
    for (const member of missing) {
      if (this.#isNew(`${member.state.version} ${member.id} here ${sender.id}`))
        entries.push(digestEntry(member));
    }
    if (entries.length === 0) return;
    this.#followUps -= 1;
    this.#core.sendDigest(sender.addr, true, entries);
  }

  /**
   * Whether a difference is worth another question within this interval. If nothing changes, asking again doesn't help; but a
   * question may overtake the delta that was sent before it.
   */
  #isNew(difference: string): boolean {
    const count = this.#followed.get(difference) ?? 0;
    this.#followed.set(difference, count + 1);
    return count < SAME_FOLLOW_UPS;
  }

  /**
   * Digest entries for members of which the sender has newer entries, so that it sends them, and for some nodes that it did not
   * mention: as many as it did, so that short questions get short answers.
   */
  #reply(theirs: readonly DigestEntry[], newer: readonly Member[]): DigestEntry[] {
    const { cluster, random } = this.#core;
    const listed = new Set(theirs.map(({ id }) => id));
    return [...newer.map(digestEntry), ...cluster.someDigest(theirs.length, random, listed)];
  }

  /** `alive`: whether it is a sign of life. Without `origin`, every delta is. So is a late one: CPU may be scarce. */
  #delta(sender: Member, nodes: readonly NodeDelta[], alive: boolean): void {
    const { cluster, counters, local } = this.#core;
    if (alive) cluster.answered(sender);
    let applied = 0;
    for (const { id, entries } of nodes) {
      counters.deltaEntriesInbound += entries.length;
      if (id === local.id) {
        const newest = entries.at(-1)?.version ?? 0;
        if (newest > local.version) this.#core.refuteVersion(newest);
        continue;
      }
      const member = cluster.find(id);
      // A delta of a candidate is complete only if the candidate itself sent it: no one else was asked for it.
      if (member === undefined || this.#core.now() < member.answersFrom) continue;
      if (member.status !== "candidate" || member === sender) applied += cluster.apply(member, entries);
    }
    // The delta may have just reported its sender's own return.
    if (alive && cluster.find(sender.id) === sender && sender.status === "candidate") {
      cluster.answered(sender);
    }
    if (applied > 0) this.#onChanges();
  }
}
