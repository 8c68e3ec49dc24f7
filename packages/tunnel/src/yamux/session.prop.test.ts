// Two sessions connected by sockets that a test stalls, drains and delivers from in any order, compared with a model that knows
// what each stream has to receive. A lost wake-up shows as bytes or ends that never arrive once everything flows again.

import fc from "fast-check";
import { expect, it } from "vitest";
import { SessionBench } from "../../tests/session-bench.js";
import type { StreamHandler, YamuxStream } from "./stream.js";

const byteAt = (id: number, side: number, offset: number): number =>
  (id * 7 + side * 131 + offset * 3 + (offset >>> 8)) & 0xff;

/** One end of a stream: a source that has a number of bytes to send, and a sink that reads at random times. */
class End implements StreamHandler {
  stream: YamuxStream | undefined;
  wanted = 0;
  written = 0;
  received = 0;
  unconsumed = 0;
  paused = false;
  ending = false;
  /**
   * Set after a write that was not accepted completely: then only `onWritable` may restart the source, so that a missing call is noticed.
   */
  blocked = false;
  resetHere = false;
  over: "end" | "reset" | undefined;
  readonly key: number;
  readonly side: number;

  constructor(key: number, side: number) {
    this.key = key;
    this.side = side;
  }

  onData(buffer: Buffer, start: number, end: number): void {
    expect(this.over).toBeUndefined();
    expect(this.resetHere).toBe(false);
    for (let i = start; i < end; i++) {
      if (buffer[i] !== byteAt(this.key, 1 - this.side, this.received++)) throw new Error("wrong byte");
    }
    this.unconsumed += end - start;
    expect(this.unconsumed).toBeLessThanOrEqual(256 * 1024);
    if (!this.paused) this.consume();
  }

  onEnd(): void {
    expect(this.over).toBeUndefined();
    expect(this.resetHere).toBe(false);
    this.over = "end";
  }

  onWritable(): void {
    expect(this.over).not.toBe("reset");
    expect(this.resetHere).toBe(false);
    this.blocked = false;
    this.go();
  }

  onReset(): void {
    expect(this.over).not.toBe("reset");
    expect(this.resetHere).toBe(false);
    this.over = "reset";
  }

  consume(): void {
    const count = this.unconsumed;
    this.unconsumed = 0;
    this.stream?.consume(count);
  }

  go(): void {
    const stream = this.stream;
    if (stream === undefined || this.over === "reset" || this.resetHere || this.blocked) return;
    const left = this.wanted - this.written;
    if (left > 0) {
      const bytes = Buffer.alloc(left);
      for (let i = 0; i < left; i++) bytes[i] = byteAt(this.key, this.side, this.written + i);
      this.written += stream.write(bytes, 0, left);
      bytes.fill(0);
      this.blocked = this.written < this.wanted;
    }
    if (this.ending && this.written === this.wanted) stream.end();
  }

  get done(): boolean {
    return this.over === "reset" || this.resetHere || this.stream?.closed === true;
  }
}

class World {
  readonly sides = [new SessionBench("server"), new SessionBench("client")] as const;
  readonly pairs: [End, End][] = [];

  constructor() {
    this.sides[1].onStreamDo = (stream) => {
      // The model's streams are identified by the id that the opener got.
      const at = this.pairs.findIndex(([near]) => near.stream?.id === stream.id);
      const end = (this.pairs[at] as [End, End])[1];
      end.stream = stream;
      return end;
    };
  }

  open(): void {
    const key = this.pairs.length;
    const near = new End(key, 0);
    near.stream = this.sides[0].session.openStream(near);
    near.stream?.flushFlags();
    this.pairs.push([near, new End(key, 1)]);
  }

  /** Delivers up to `count` bytes that the side's socket has accepted. */
  deliver(side: 0 | 1, count: number): boolean {
    const bytes = this.sides[side].socket.takeAll();
    const now = bytes.subarray(0, count);
    if (now.length < bytes.length) this.sides[side].socket.taken.push(bytes.subarray(now.length));
    if (now.length === 0) return false;
    this.sides[1 - side]?.session.receive(Buffer.from(now), 0, now.length);
    return true;
  }

  /** Makes the socket's kernel accept what is queued; `stalled` sets whether it stalls for later writes. */
  drain(side: 0 | 1, stalled = false): void {
    const bench = this.sides[side];
    bench.socket.drain();
    bench.socket.stalled = stalled;
    bench.out.onDrain();
    bench.session.drained();
  }

  /** Lets everything flow until nothing moves any more. */
  settle(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const side of [0, 1] as const) {
        this.drain(side);
        this.sides[side].out.onTurnEnd();
        while (this.deliver(side, 1 << 30)) moved = true;
      }
    }
  }
}

const size = fc.oneof(fc.nat(20), fc.nat(5_000), fc.nat(400_000), fc.constant(300_000));
const step = fc.record({
  what: fc.constantFrom(
    "open",
    "write",
    "write",
    "end",
    "reset",
    "pause",
    "consume",
    "stall",
    "drain",
    "drip",
    "turn",
    "deliver",
    "deliver all",
  ),
  side: fc.constantFrom<(0 | 1)[]>(0, 1),
  stream: fc.nat(2),
  size,
});

function run(
  world: World,
  { what, side, stream, size: count }: { what: string; side: 0 | 1; stream: number; size: number },
): void {
  const bench = world.sides[side];
  const end = world.pairs[stream % Math.max(1, world.pairs.length)]?.[side];
  switch (what) {
    case "open":
      world.open();
      break;
    case "stall":
      bench.socket.stalled = true;
      break;
    case "drain":
      world.drain(side);
      break;
    case "drip":
      world.drain(side, true);
      break;
    case "deliver all":
      bench.out.onTurnEnd();
      world.deliver(side, 1 << 30);
      break;
    case "turn":
      bench.out.onTurnEnd();
      break;
    case "deliver":
      world.deliver(side, count);
      break;
    case "pause":
      if (end !== undefined) end.paused = true;
      break;
    case "consume":
      if (end !== undefined) {
        end.paused = false;
        end.consume();
      }
      break;
    case "write":
      if (end !== undefined && !end.ending) {
        end.wanted += count;
        end.go();
      }
      break;
    case "end":
      if (end !== undefined) {
        end.ending = true;
        end.go();
      }
      break;
    case "reset":
      if (end?.stream !== undefined && !end.done && count % 3 === 0) {
        end.resetHere = true;
        end.stream.reset();
      }
      break;
  }
}

function check(steps: readonly { what: string; side: 0 | 1; stream: number; size: number }[]): void {
  const world = new World();
  world.open();
  for (const each of steps) run(world, each);
  for (const pair of world.pairs) {
    for (const end of pair) {
      end.paused = false;
      end.ending = true;
      end.consume();
      end.go();
    }
  }
  world.settle();
  // The accepting ends of the streams that were opened last start their sources now.
  for (const [, far] of world.pairs) far.go();
  world.settle();
  for (const [near, far] of world.pairs) {
    for (const [end, peer] of [
      [near, far],
      [far, near],
    ] as const) {
      if (near.resetHere || far.resetHere || near.over === "reset" || far.over === "reset") {
        expect(end.received).toBeLessThanOrEqual(peer.written);
      } else {
        expect(end.over).toBe("end");
        expect(end.written).toBe(end.wanted);
        expect(end.received).toBe(peer.wanted);
      }
      if (end.stream !== undefined) expect(end.stream.closed).toBe(true);
    }
  }
  for (const bench of world.sides) {
    expect(bench.failures).toEqual([]);
    expect(bench.session.streamCount).toBe(0);
    bench.session.end();
    bench.clock.assertIdle();
  }
}

it("delivers every byte and every end in order, whatever is stalled, paused and reset meanwhile", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 120, size: "max" }), check), { numRuns: 40 });
}, 30_000);

it("does so with more streams than the peer's backlog, too", () => {
  const many = Array.from({ length: 300 }, () => ({ what: "open", side: 0 as const, stream: 0, size: 0 }));
  fc.assert(
    fc.property(fc.array(fc.record({ ...stepOnMany }), { maxLength: 60, size: "max" }), (steps) =>
      check([...many, ...steps]),
    ),
    { numRuns: 15 },
  );
}, 30_000);

const stepOnMany = {
  what: fc.constantFrom(
    "open",
    "write",
    "end",
    "reset",
    "pause",
    "stall",
    "drain",
    "drip",
    "turn",
    "deliver",
    "deliver all",
  ),
  side: fc.constantFrom<(0 | 1)[]>(0, 1),
  stream: fc.nat(310),
  size: fc.nat(40_000),
};
