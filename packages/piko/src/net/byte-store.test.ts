import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteBudget } from "./byte-budget.js";
import { ByteStore } from "./byte-store.js";

describe("ByteStore", () => {
  it("holds no memory while it is empty", () => {
    const store = new ByteStore();
    expect(store.buffer.length).toBe(0);
    store.append(Buffer.from("abc"), 0, 3);
    store.consumeTo(store.start + 3);
    expect(store.buffer.length).toBe(0);
  });

  it.each([false, true])("returns the bytes in order (pooled: %s)", (pooled) => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ append: fc.uint8Array({ maxLength: 9_000, size: "max" }) }),
        fc.record({ take: fc.nat({ max: 12_000 }) }),
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const budget = new ByteBudget(1_000);
        const store = new ByteStore(budget, pooled);
        let model = Buffer.alloc(0);
        for (const step of all) {
          if ("append" in step) {
            const bytes = Buffer.from(step.append);
            store.append(bytes, 0, bytes.length);
            model = Buffer.concat([model, bytes]);
          } else {
            const count = Math.min(step.take, store.length);
            store.consumeTo(store.start + count);
            model = model.subarray(count);
          }
          expect(store.length).toBe(model.length);
          expect(store.buffer.subarray(store.start, store.end).equals(model)).toBe(true);
          expect(budget.used).toBe(store.buffer.length);
          expect(budget.exhausted).toBe(store.buffer.length > 1_000);
        }
        store.rewind(100);
        expect(budget.used).toBe(store.buffer.length);
        store.clear();
        expect(budget.used).toBe(0);
      }),
    );
  });
});
