// Nodes that gossip over a simulated network, and peers that send what a test wants.

import { SeededRandom, SimulatedClock, SimulatedNetwork, type SimulatedTransport, View } from "@piko/testkit";
import { Gossip, type GossipOptions } from "../src/gossip/gossip.js";
import { joinAnswerEnd } from "../src/gossip/wire/message-end.js";
import type { DigestEntry, Entry, Packet } from "../src/gossip/wire/messages.js";
import { MsgpackWriter } from "../src/gossip/wire/msgpack-writer.js";
import {
  decodePacket,
  writeDeltaHead,
  writeDigestHead,
  writePacketNode,
} from "../src/gossip/wire/packet-codec.js";
import { JoinAnswerReader, encodeJoinAnswer, encodeJoinRequest } from "../src/gossip/wire/stream-codec.js";
import { writeDigestEntry, writeEntry } from "../src/gossip/wire/struct-codec.js";

export const A = "10.0.0.1";
export const B = "10.0.0.2";
export const C = "10.0.0.3";

export interface GossipNode {
  readonly gossip: Gossip;
  readonly view: View;
  /** Events that its watch received, in words. */
  readonly notified: string[];
  readonly transport: SimulatedTransport;
}

/** A network for one test. */
export class GossipRig {
  readonly clock = new SimulatedClock();
  readonly random = new SeededRandom(1);
  readonly network = new SimulatedNetwork(this.clock, this.random);

  startNode(id: string, ip: string, seeds: string[] = [], options: Partial<GossipOptions> = {}): GossipNode {
    const notified: string[] = [];
    const view = new View(id, (_observer, ...what) =>
      notified.push(what.filter((word) => word !== "").join(" ")),
    );
    const transport = this.network.transport(`${ip}:8003`);
    const gossip = new Gossip({
      nodeId: id,
      addr: `${ip}:8003`,
      transport,
      watch: view,
      clock: this.clock,
      random: () => this.random.next(),
      resolve: (addresses, done) => done({ targets: addresses, failures: [] }),
      ...options,
    });
    gossip.start();
    if (seeds.length > 0) void gossip.join(seeds);
    return { gossip, view, notified, transport };
  }
}

/** A peer that sends what a test wants, and answers as Go Piko does when it is asked for a sign of life. */
export class ScriptedPeer {
  readonly id: string;
  readonly addr: string;
  readonly transport: SimulatedTransport;
  readonly packets: Packet[] = [];
  /** Entries for other nodes in its digests. */
  digest: DigestEntry[] = [];
  answers = true;
  readonly #clock: SimulatedClock;

  constructor(rig: GossipRig, id: string, ip: string) {
    this.#clock = rig.clock;
    this.id = id;
    this.addr = `${ip}:8003`;
    this.transport = rig.network.transport(this.addr);
    this.transport.attach({
      onPacket: (bytes) => {
        const packet = decodePacket(bytes);
        this.packets.push(packet);
        if (!this.answers || packet.type !== 1) return;
        this.sendDelta(packet.from.addr, []);
        if (packet.request) this.sendDigest(packet.from.addr, false);
      },
      onRequest: (_request, _ip, answer) =>
        answer(encodeJoinAnswer({ nodeId: this.id, addr: this.addr }, [])),
    });
  }

  sendDigest(to: string, request: boolean, from: { nodeId: string; addr: string } = this.self): void {
    const writer = new MsgpackWriter();
    writeDigestHead(writer, from, request);
    for (const entry of [{ ...this.self, id: this.id, version: 1, left: false }, ...this.digest])
      writeDigestEntry(writer, entry);
    this.transport.sendPacket(to, writer.copy());
  }

  sendDelta(to: string, entries: readonly Entry[], id: string = this.id, addr: string = this.addr): void {
    const writer = new MsgpackWriter();
    writeDeltaHead(writer, this.self);
    if (entries.length > 0) writePacketNode(writer, id, addr, entries.length);
    for (const entry of entries) writeEntry(writer, entry);
    this.transport.sendPacket(to, writer.copy());
  }

  /** Sends a join request over TCP; returns the answer. */
  join(to: string): { nodeIds: string[]; bytes: number } {
    const digest = [{ id: this.id, addr: this.addr, version: 0, left: false }];
    const request = encodeJoinRequest(this.self, [{ id: this.id, addr: this.addr, entries: [] }], digest);
    let answer: { nodeIds: string[]; bytes: number } | undefined;
    this.transport.exchange(to, request, joinAnswerEnd(), 1_000, (error, bytes) => {
      if (error === undefined)
        answer = {
          nodeIds: [...new JoinAnswerReader(bytes).nodes()].map(({ id }) => id),
          bytes: bytes.length,
        };
    });
    this.#clock.run(1_000, () => answer !== undefined);
    if (answer === undefined) throw new Error("no answer");
    return answer;
  }

  get self(): { nodeId: string; addr: string } {
    return { nodeId: this.id, addr: this.addr };
  }
}
