import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { FakeSocket } from "../../tests/fake-socket.js";
import { FlushQueue, LATER_MS } from "./flush-queue.js";
import { Outbox } from "./outbox.js";
import { giveSlab, SLAB_BYTES, takeSlab } from "./slab-pool.js";

function setup(synchronous = true): { socket: FakeSocket; out: Outbox } {
  const socket = new FakeSocket();
  return { socket, out: new Outbox(socket.asSocket(), synchronous) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const text = (out: Outbox, bytes: string): void => {
  const buffer = Buffer.from(bytes);
  out.write(buffer, 0, buffer.length);
};

describe("Outbox", () => {
  it("writes all bytes of one turn at once, at its end", async () => {
    const { socket, out } = setup();
    text(out, "one ");
    out.writeLatin1("two\xff ");
    const at = out.take(3);
    (out.slab as Buffer).write("six", at);
    expect(out.pendingBytes).toBe(12);
    expect(socket.taken).toEqual([]);
    await turn();
    expect(socket.taken.map((bytes) => bytes.toString("latin1"))).toEqual(["one two\xff six"]);
    expect(out.pendingBytes).toBe(0);
    text(out, "next");
    await turn();
    expect(socket.taken).toHaveLength(2);
  });

  it("writes whole slabs as soon as they are full", () => {
    const { socket, out } = setup();
    const bytes = Buffer.alloc(SLAB_BYTES * 2 + 10, 3);
    out.write(bytes, 0, bytes.length);
    expect(socket.taken.map(({ length }) => length)).toEqual([SLAB_BYTES, SLAB_BYTES]);
    out.flush();
    expect(socket.takeAll().equals(bytes)).toBe(true);
  });

  it("keeps what take reserves in one piece", () => {
    const { socket, out } = setup();
    out.write(Buffer.alloc(SLAB_BYTES - 5, 1), 0, SLAB_BYTES - 5);
    expect(out.take(12)).toBe(0);
    (out.slab as Buffer).fill(2, 0, 12);
    out.flush();
    expect(socket.taken.map(({ length }) => length)).toEqual([SLAB_BYTES - 5, 12]);
  });

  it("sends bytes that aren't urgent with the next ones, or after a short delay", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const { socket, out } = setup();
      const later = (bytes: string): void => {
        const at = out.takeLater(bytes.length);
        (out.slab as Buffer).write(bytes, at);
      };
      later("ack ");
      await turn();
      expect(socket.taken).toEqual([]);
      text(out, "data ");
      later("end ");
      await turn();
      later("ack2 ");
      await turn();
      expect(socket.taken.map(String)).toEqual(["ack data end "]);
      vi.advanceTimersByTime(LATER_MS);
      expect(socket.taken.map(String)).toEqual(["ack data end ", "ack2 "]);
      vi.advanceTimersByTime(LATER_MS);
      for (let i = 0; i < 60; i++) later("0123456789");
      await turn();
      expect(socket.taken.slice(2).map(({ length }) => length)).toEqual([600]);
      vi.advanceTimersByTime(LATER_MS);
      expect(vi.getTimerCount()).toBe(0);
      expect(out.slab).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });

  it("returns its slab when the kernel accepted everything, and keeps none while idle", () => {
    const { out } = setup();
    text(out, "x");
    const slab = out.slab as Buffer;
    out.flush();
    expect(out.slab).toBeUndefined();
    const reused = takeSlab(slab.length);
    expect(reused).toBe(slab);
    giveSlab(reused);
  });

  it("uses no more memory than it needs, and keeps its contents when it needs more", () => {
    const { socket, out } = setup();
    const sizes: number[] = [];
    const counts = [10, 5_000, 20_000, 70_000];
    for (const count of counts) {
      out.write(Buffer.alloc(count, count % 251), 0, count);
      sizes.push((out.slab as Buffer).length);
    }
    expect(sizes).toEqual([4_096, 16_384, 65_792, SLAB_BYTES]);
    out.flush();
    const expected = counts.map((count) => Buffer.alloc(count, count % 251));
    expect(socket.takeAll().equals(Buffer.concat(expected))).toBe(true);
  });

  it("doesn't touch memory that the kernel still reads from", () => {
    const { socket, out } = setup();
    socket.stalled = true;
    for (let i = 0; i < 40; i++) {
      const bytes = Buffer.alloc(1 + i * 800, i);
      out.write(bytes, 0, bytes.length);
      out.flush();
    }
    // Fails if the memory of a pending write was changed.
    socket.drain();
    out.onDrain();
    expect(socket.takeAll()).toHaveLength((39 * 40 * 800) / 2 + 40);
  });

  it("returns its slabs when a congested socket has drained", () => {
    const { socket, out } = setup();
    socket.stalled = true;
    text(out, "x".repeat(50_000));
    const slab = out.slab as Buffer;
    out.flush();
    expect(out.congested).toBe(true);
    const other = takeSlab(slab.length);
    expect(other === slab).toBe(false);
    socket.drain();
    out.onDrain();
    expect(takeSlab(slab.length) === slab).toBe(true);
    giveSlab(slab);
    giveSlab(other);
  });

  it("is congested from the first write above the limit until the drain, and sends only whole slabs meanwhile", async () => {
    const { socket, out } = setup();
    socket.stalled = true;
    out.write(Buffer.alloc(20_000), 0, 20_000);
    await turn();
    expect(out.congested).toBe(true);
    for (let i = 0; i < 10; i++) {
      text(out, "small");
      await turn();
    }
    expect(socket.waiting).toHaveLength(1);
    expect(out.pendingBytes).toBe(20_050);
    out.write(Buffer.alloc(SLAB_BYTES), 0, SLAB_BYTES);
    expect(socket.waiting).toHaveLength(2);
    socket.drain();
    out.onDrain();
    expect(out.congested).toBe(false);
    expect(out.pendingBytes).toBe(0);
    expect(socket.takeAll()).toHaveLength(20_050 + SLAB_BYTES);
  });

  it("doesn't keep a slab for each small pending write", async () => {
    const { socket, out } = setup();
    socket.stalled = true;
    for (let i = 0; i < 500; i++) {
      text(out, "0123456789");
      await turn();
    }
    const memory = new Set(socket.waiting.map(({ memory }) => memory.buffer));
    expect([...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(4 * SLAB_BYTES);
  });

  it("copies small writes for TLS, which reads the bytes later", () => {
    const { socket, out } = setup(false);
    socket.stalled = true;
    text(out, "secret");
    const slab = out.slab as Buffer;
    out.flush();
    expect(socket.waiting[0]?.memory.buffer).not.toBe(slab.buffer);
    const reused = takeSlab(slab.length);
    expect(reused).toBe(slab);
    reused.fill(0);
    giveSlab(reused);
    socket.drain();
    expect(socket.takeAll().toString()).toBe("secret");
  });

  it("treats TLS as congested only above a turn's bytes, since it reports a turn later that they were sent", () => {
    const { socket, out } = setup(false);
    socket.stalled = true;
    const bytes = Buffer.alloc(SLAB_BYTES);
    out.write(bytes, 0, bytes.length);
    expect(socket.waiting).toHaveLength(1);
    expect(out.congested).toBe(false);
    text(out, "more");
    out.flush();
    expect(out.congested).toBe(true);
    socket.drain();
    out.onDrain();
    expect(out.congested).toBe(false);
    expect(socket.takeAll()).toHaveLength(SLAB_BYTES + 4);
  });

  it("lends large writes to TLS until the drain", () => {
    const { socket, out } = setup(false);
    socket.stalled = true;
    text(out, "x".repeat(50_000));
    const slab = out.slab as Buffer;
    out.flush();
    expect(socket.waiting[0]?.memory.buffer).toBe(slab.buffer);
    const other = takeSlab(slab.length);
    expect(other === slab).toBe(false);
    socket.drain();
    out.onDrain();
    expect(takeSlab(slab.length) === slab).toBe(true);
    giveSlab(slab);
    giveSlab(other);
  });

  it("seals what follows setSeal, one frame per slab, in place", () => {
    const { socket, out } = setup();
    text(out, "plain ");
    out.setSeal(4, (slab, start, end) => {
      slab.write(`<${String(end - start).padStart(2, "0")}>`, start - 4);
      return start - 4;
    });
    text(out, "framed");
    text(out, " twice");
    expect(out.pendingBytes).toBe(12);
    out.flush();
    text(out, "again");
    out.flush();
    expect(socket.taken.map(String)).toEqual(["plain ", "<12>framed twice", "<05>again"]);
    out.write(Buffer.alloc(SLAB_BYTES), 0, SLAB_BYTES);
    expect(socket.taken.at(-1)).toHaveLength(SLAB_BYTES);
  });

  it("drops what is written after close, or to a socket that has ended", async () => {
    const { socket, out } = setup();
    text(out, "lost");
    out.close();
    text(out, "too");
    await turn();
    expect(socket.taken).toEqual([]);
    expect(out.slab).toBeUndefined();

    const ended = setup();
    text(ended.out, "late");
    ended.socket.writable = false;
    await turn();
    expect(ended.socket.taken).toEqual([]);
    expect(ended.out.pendingBytes).toBe(0);
  });

  it("sends every byte in order, whatever is written and however the socket stalls", () => {
    const step = fc.oneof(
      fc.tuple(
        fc.constant("write"),
        fc.oneof(fc.nat(40), fc.nat(70_000), fc.constantFrom(SLAB_BYTES - 1, SLAB_BYTES)),
      ),
      fc.tuple(fc.constant("latin1"), fc.oneof(fc.nat(40), fc.nat(70_000))),
      fc.tuple(fc.constantFrom("take", "later"), fc.nat(40)),
      fc.tuple(fc.constant("reserve"), fc.oneof(fc.nat(40), fc.nat(70_000))),
      fc.tuple(fc.constantFrom("turn", "flush", "stall", "drain"), fc.constant(0)),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, synchronous) => {
        const { socket, out } = setup(synchronous);
        const expected: Buffer[] = [];
        let fill = 0;
        for (const [what, count] of steps) {
          fill = (fill + 1) & 0x7f;
          const bytes = Buffer.alloc(count, fill);
          if (["write", "latin1", "take", "later", "reserve"].includes(what)) expected.push(bytes);
          if (what === "write") out.write(bytes, 0, count);
          else if (what === "latin1") out.writeLatin1(bytes.toString("latin1"));
          else if (what === "take") {
            const at = out.take(count);
            if (count > 0) bytes.copy(out.slab as Buffer, at);
          } else if (what === "later") {
            const at = out.takeLater(count);
            if (count > 0) bytes.copy(out.slab as Buffer, at);
          } else if (what === "reserve") {
            const at = out.reserve(count + fill);
            bytes.copy(out.slab as Buffer, at);
            out.advance(at + count);
          } else if (what === "turn") out.onTurnEnd();
          else if (what === "flush") out.flush();
          else if (what === "stall") socket.stalled = true;
          else {
            socket.drain();
            out.onDrain();
          }
          const whole = expected.reduce((sum, { length }) => sum + length, 0);
          const taken = socket.taken.reduce((sum, { length }) => sum + length, 0);
          expect(out.pendingBytes + taken).toBe(whole);
        }
        socket.drain();
        out.onDrain();
        expect(socket.takeAll().equals(Buffer.concat(expected))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe("FlushQueue", () => {
  it("runs each item once, and runs what a flush schedules in the next turn", async () => {
    const queue = new FlushQueue();
    const runs: string[] = [];
    const second = { onTurnEnd: (): unknown => runs.push("second") };
    const first = {
      onTurnEnd(): void {
        runs.push("first");
        queue.schedule(second);
      },
    };
    queue.schedule(first);
    queue.schedule(first);
    await turn();
    expect(runs).toEqual(["first", "first"]);
    await turn();
    await turn();
    expect(runs).toEqual(["first", "first", "second", "second"]);
  });

  it("runs tunnels after all others of the turn, whatever was scheduled first", async () => {
    const queue = new FlushQueue();
    const runs: string[] = [];
    const named = (name: string) => ({ onTurnEnd: (): unknown => runs.push(name) });
    queue.scheduleLast(named("tunnel"));
    queue.schedule(named("service"));
    queue.scheduleLast(named("other tunnel"));
    queue.schedule(named("client"));
    await turn();
    expect(runs).toEqual(["service", "client", "tunnel", "other tunnel"]);
    queue.scheduleLast(named("alone"));
    await turn();
    expect(runs.at(-1)).toBe("alone");
  });
});
