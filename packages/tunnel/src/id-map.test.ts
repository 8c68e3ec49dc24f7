// The map of stream ids does what a `Map` does, however its ids are chosen.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IdMap } from "./id-map.js";

/** Ids as sessions take them, and as a hostile peer may choose them. */
const IDS: readonly [string, (index: number) => number][] = [
  ["of one side, in order", (index) => 2 * index + 1],
  ["at the end of their range", (index) => 0xffff_ffff - 2 * index],
  ["that differ in their upper bits only", (index) => ((index << 20) | 1) >>> 0],
  ["from both ends of the range", (index) => (index % 2 === 0 ? index + 1 : 0xffff_ffff - index)],
];

/** Whether a stream comes (or goes), and which one. */
const CHANGES = fc.array(fc.tuple(fc.boolean(), fc.nat(300)), { maxLength: 1_500, size: "max" });
const SEED = fc.integer();

describe.each(IDS)("ids %s", (_, idOf) => {
  it("come and go like those of a Map", () => {
    fc.assert(
      fc.property(SEED, CHANGES, (seed, changes) => {
        const map = new IdMap<object>(seed);
        const model = new Map<number, object>();
        for (const [comes, index] of changes) {
          const id = idOf(index);
          if (comes) {
            const value = {};
            map.set(id, value);
            model.set(id, value);
          } else expect(map.delete(id)).toBe(model.delete(id));
          expect(map.size).toBe(model.size);
        }
        expect(new Set(map.values())).toEqual(new Set(model.values()));
        for (let index = 0; index <= 300; index++) expect(map.get(idOf(index))).toBe(model.get(idOf(index)));
      }),
    );
  });

  it("are found in a large map, and in one that has become small again", () => {
    const map = new IdMap<number>(5);
    const ids = new Set(Array.from({ length: 5_000 }, (_each, index) => idOf(index)));
    for (const id of ids) map.set(id, id);
    expect(map.size).toBe(ids.size);
    for (const id of ids) expect(map.get(id)).toBe(id);
    for (const id of ids) {
      if (id % 101 === 1) continue;
      expect(map.delete(id)).toBe(true);
      expect(map.get(id)).toBeUndefined();
    }
    expect(map.values().toSorted()).toEqual([...ids].filter((id) => id % 101 === 1).toSorted());
  });
});

it("a map that is cleared is empty, and usable", () => {
  const map = new IdMap<string>();
  for (let id = 1; id < 1_000; id += 2) map.set(id, String(id));
  const before = map.values();
  map.clear();
  expect([map.size, map.get(1), map.values()]).toEqual([0, undefined, []]);
  expect(before).toHaveLength(500);
  map.set(3, "three");
  expect([map.size, map.get(3), map.get(1)]).toEqual([1, "three", undefined]);
});
