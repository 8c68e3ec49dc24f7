import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LocalState } from "./local-state.js";
import { COMPACT_KEY, type Entry, LEFT_KEY } from "../wire/messages.js";
import { NodeState } from "./node-state.js";
import { PacketBuilder } from "../protocol/packet-builder.js";
import { decodePacket } from "../wire/packet-codec.js";

const builder = new PacketBuilder({ from: { nodeId: "a", addr: "10.0.0.1:8003" }, maxPacketSize: 1_400 });

function localState(compactionThreshold = 100): LocalState {
  return new LocalState({
    id: "a",
    compactionThreshold,
    fits: (key, value) => builder.fits(key, value),
    initialVersion: 0,
  });
}

/** Applies entries as every receiver does. */
function receive(copy: NodeState, entries: readonly Entry[]): void {
  for (const entry of entries) {
    if (entry.version <= copy.version) continue;
    copy.set(entry);
    if (entry.key === COMPACT_KEY) copy.dropUpTo(Number(entry.value));
  }
}

describe("a node's state", () => {
  it("that has left is only its leave marker to those who don't know it, and nothing to those who do", () => {
    const local = localState();
    for (let i = 0; i < 5; i++) local.upsert(`endpoint:${i}`, "1");
    const { state } = local;
    expect([0, 3].map((above) => state.sendAbove(above))).toEqual([0, 3]);
    local.leave();
    for (const above of [0, 3, 5]) {
      expect(state.above(state.sendAbove(above)).map(({ key }) => key)).toEqual([LEFT_KEY]);
    }
    expect(state.above(state.sendAbove(local.version))).toEqual([]);
  });

  it("arrives completely, whichever part of it each packet brings", () => {
    const change = fc.record({
      key: fc.integer({ min: 0, max: 9 }),
      kind: fc.constantFrom("set", "delete", "send"),
    });
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 200 }),
        fc.integer({ min: 200, max: 1_400 }),
        (changes, size) => {
          const local = localState(3);
          const copy = new NodeState("a");
          const sender = new PacketBuilder({
            from: { nodeId: "b", addr: "10.0.0.2:8003" },
            maxPacketSize: size,
          });
          const send = (): void => {
            const source = { id: "a", addr: "10.0.0.1:8003", state: local.state, above: copy.version };
            for (const bytes of sender.deltas([source], 4).packets) {
              expect(bytes.length).toBeLessThanOrEqual(size);
              const packet = decodePacket(bytes);
              if (packet.type === 2) for (const { entries } of packet.nodes) receive(copy, entries);
            }
          };
          changes.forEach(({ key, kind }, i) => {
            if (kind === "set") local.upsert(`k${key}`, `${i}`);
            else if (kind === "delete") local.delete(`k${key}`);
            else send();
            local.compact();
          });
          for (let i = 0; i < 100 && copy.version < local.version; i++) send();
          expect(copy.above(0)).toEqual(local.state.above(0));
          expect(copy.deletedCount).toBe(local.state.deletedCount);
          expect(copy.internalCount).toBe(local.state.internalCount);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("is compacted only when as many keys are deleted as live", () => {
    const local = localState(10);
    for (let i = 0; i < 50; i++) local.upsert(`k${i}`, "1");
    for (let i = 0; i < 24; i++) local.delete(`k${i}`);
    expect(local.compact()).toBe(false);
    local.delete("k24");
    expect(local.compact()).toBe(true);
    expect(local.state.deletedCount).toBe(0);
    expect(local.state.above(0).map(({ version }) => version)).toEqual(
      Array.from({ length: 26 }, (_, i) => 76 + i),
    );
  });
});

describe("delta packets", () => {
  function filled(id: string, keys: number): NodeState {
    const state = new NodeState(id);
    for (let i = 1; i <= keys; i++)
      state.set({ key: `endpoint:${i}`, value: "1", version: i, internal: false, deleted: false });
    return state;
  }

  it("never contain a second part of a node, which could overtake the first", () => {
    const sources = [filled("b", 200), filled("c", 3), filled("d", 200), filled("e", 3)].map((state) => ({
      id: state.id,
      addr: "10.0.0.2:8003",
      state,
      above: 0,
    }));
    const { packets, leftOver, entryCount } = builder.deltas(sources, 4);
    const seen = packets.flatMap((bytes) => {
      const packet = decodePacket(bytes);
      return packet.type === 2 ? packet.nodes.map(({ id, entries }) => [id, entries.length] as const) : [];
    });
    expect(seen.map(([id]) => id).toSorted()).toEqual(["b", "c", "d", "e"]);
    expect(seen.reduce((sum, [, count]) => sum + count, 0)).toBe(entryCount);
    expect(leftOver.map(({ id }) => id)).toEqual(["b", "d"]);
    expect(packets.every(({ length }) => length <= 1_400)).toBe(true);
  });

  it("are one empty packet if there is nothing new", () => {
    const { packets } = builder.deltas([], 4);
    expect(packets.map((bytes) => decodePacket(bytes))).toEqual([
      { type: 2, from: { nodeId: "a", addr: "10.0.0.1:8003" }, nodes: [] },
    ]);
  });
});
