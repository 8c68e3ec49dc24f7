// A slow socket: streams are stopped, continue in order when it has drained, and none is forgotten.

import { describe, expect, it } from "vitest";
import { type Recorder, SessionBench } from "../../tests/session-bench.js";
import { encode } from "../../tests/yamux-frames.js";

const piece = Buffer.alloc(64 * 1024, 1);

type Opened = ReturnType<SessionBench["open"]>;

function stalled(count: number): { bench: SessionBench; streams: Opened[] } {
  const bench = new SessionBench("server");
  const streams = Array.from({ length: count }, () => bench.open());
  for (const { stream } of streams) stream.flushFlags();
  bench.sent();
  bench.socket.stalled = true;
  const filler = bench.open();
  filler.stream.write(piece, 0, piece.length);
  bench.out.onTurnEnd();
  expect(bench.session.turns.congested).toBe(true);
  return { bench, streams };
}

function drain(bench: SessionBench): void {
  bench.socket.drain();
  bench.out.onDrain();
  bench.session.drained();
}

describe("a congested socket", () => {
  it("accepts nothing, and every stopped stream continues when it has drained, in order and once", () => {
    const { bench, streams } = stalled(5);
    const order: number[] = [];
    for (const recorder of streams) {
      recorder.onWritableDo = () => order.push(recorder.stream.id);
      expect(recorder.stream.write(piece, 0, piece.length)).toBe(0);
      expect(recorder.stream.write(piece, 0, piece.length)).toBe(0);
    }
    drain(bench);
    expect(order).toEqual([2, 4, 6, 8, 10]);
    drain(bench);
    expect(order).toHaveLength(5);
  });

  it("doesn't let one stream starve the others: those that had their turn queue again", () => {
    const { bench, streams } = stalled(4);
    const turns: number[] = [];
    for (const recorder of streams) {
      // Each has plenty to send, so that the socket is congested again after every turn.
      recorder.onWritableDo = () => {
        turns.push(recorder.stream.id);
        bench.socket.stalled = true;
        for (let i = 0; i < 3; i++) recorder.stream.write(piece, 0, piece.length);
        bench.receive(encode("window", "", recorder.stream.id, 3 * piece.length));
      };
      recorder.stream.write(piece, 0, piece.length);
    }
    for (let round = 0; round < 8; round++) drain(bench);
    // The fifth turn of each drain fills a slab, and the socket is congested again.
    expect(turns).toEqual(Array.from({ length: 8 * 5 }, (_, index) => 2 + 2 * (index % 4)));
    const sizes = bench.sent().flatMap((frame) => /^data (?:S )?[2468] (\d+)/.exec(frame)?.[1] ?? []);
    expect(new Set(sizes)).toEqual(new Set([String(piece.length)]));
  });

  it("sends small writes ahead of the stopped streams, with a limit per stream until it has drained", () => {
    const { bench, streams } = stalled(3);
    const [bulk, small, talkative] = streams as [Opened, Opened, Opened];
    expect(bulk.stream.write(piece, 0, piece.length)).toBe(0);
    expect(small.stream.write(piece, 0, 100)).toBe(100);
    const takenFrom = ({ stream }: Opened): number => {
      let taken = 0;
      for (let i = 0; i < 100; i++) taken += stream.write(piece, 0, 1_000);
      return taken;
    };
    expect(takenFrom(talkative)).toBe(16_000);
    bulk.onWritableDo = () => bulk.stream.write(piece, 0, piece.length);
    drain(bench);
    const order = bench.sent().flatMap((frame) => /^data (?:S )?([246]) /.exec(frame)?.[1] ?? []);
    expect(order).toEqual(["4", ...Array.from({ length: 16 }, () => "6"), "2"]);
    expect(talkative.calls).toEqual(["writable"]);
    bench.socket.stalled = true;
    bulk.stream.write(piece, 0, piece.length);
    bench.out.onTurnEnd();
    expect(bench.session.turns.congested).toBe(true);
    expect(takenFrom(talkative)).toBe(16_000);
  });

  it("has a limit for small writes in total", () => {
    const { bench } = stalled(1);
    let taken = 0;
    for (let i = 0; i < 200; i++) taken += bench.open().stream.write(piece, 0, 10_000);
    expect(taken).toBeGreaterThan(400 * 1024);
    expect(taken).toBeLessThan(600 * 1024);
  });

  it("wakes a stream whose window arrived while the socket was congested", () => {
    const bench = new SessionBench("server");
    const recorder = bench.open();
    let left = 300 * 1024;
    const go = (): void => {
      left -= recorder.stream.write(Buffer.alloc(left), 0, left);
    };
    recorder.onWritableDo = go;
    go();
    expect(left).toBe(300 * 1024 - 256 * 1024);
    bench.socket.stalled = true;
    const other = bench.open();
    other.stream.write(piece, 0, piece.length);
    bench.out.onTurnEnd();
    bench.receive(encode("window", "A", 2, 1 << 20));
    expect(recorder.calls).toEqual([]);
    drain(bench);
    expect(recorder.calls).toEqual(["writable"]);
    expect(left).toBe(0);
  });

  it("doesn't wake streams that are closed, or have ended their direction", () => {
    const { bench, streams } = stalled(4);
    for (const { stream } of streams) stream.write(piece, 0, piece.length);
    const [reset, ended, lost, alive] = streams as [Recorder, Recorder, Recorder, Recorder];
    streams[0]?.stream.reset();
    streams[1]?.stream.end();
    bench.receive(encode("window", "R", 6, 0));
    drain(bench);
    expect([reset.calls, ended.calls, lost.calls, alive.calls]).toEqual([[], [], ["reset"], ["writable"]]);
  });

  it("may see the session end while streams continue", () => {
    const { bench, streams } = stalled(3);
    for (const { stream } of streams) stream.write(piece, 0, piece.length);
    Object.assign(streams[0] as Recorder, { onWritableDo: () => bench.session.end() });
    drain(bench);
    expect(streams.map(({ calls }) => calls)).toEqual([["writable", "reset"], ["reset"], ["reset"]]);
  });
});
