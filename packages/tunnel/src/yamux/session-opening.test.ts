// How our streams are opened: the accept backlog, the queue after it, and the ids.

import { describe, expect, it } from "vitest";
import { Recorder, SessionBench } from "../../tests/session-bench.js";
import { encode } from "../../tests/yamux-frames.js";
import { MAX_QUEUED_STREAMS } from "./opening-queue.js";

const hello = Buffer.from("hello");

/** A session with 256 streams on the wire and `more` in the queue. */
function crowded(more: number): { bench: SessionBench; waiting: ReturnType<SessionBench["open"]>[] } {
  const bench = new SessionBench("server");
  for (let i = 0; i < 256; i++) bench.open().stream.write(hello, 0, 5);
  const waiting = Array.from({ length: more }, () => bench.open());
  expect(bench.sent()).toHaveLength(256);
  return { bench, waiting };
}

describe("the 257th stream that isn't accepted", () => {
  it("waits, accepts no bytes, and is opened by the first ACK", () => {
    const { bench, waiting } = crowded(2);
    const [next, later] = waiting;
    expect(next?.stream.id).toBe(0);
    expect(next?.stream.write(hello, 0, 5)).toBe(0);
    next?.stream.flushFlags();
    expect(bench.sent()).toEqual([]);
    bench.receive(encode("window", "A", 100, 0));
    expect(next?.calls).toEqual(["writable"]);
    expect(next?.stream.id).toBe(514);
    expect(next?.stream.write(hello, 0, 5)).toBe(5);
    expect(bench.sent()).toEqual(["window S 514 0", "data 514 5"]);
    expect(later?.calls).toEqual([]);
    bench.receive(encode("data", "A", 514, hello));
    expect(later?.stream.id).toBe(516);
  });

  it("is opened in its turn even if nothing was written, for peers that send first", () => {
    const { bench, waiting } = crowded(1);
    bench.receive(encode("window", "A", 2, 0));
    expect(bench.sent()).toEqual(["window S 514 0"]);
    expect(waiting[0]?.calls).toEqual([]);
  });

  it("is opened and ended in its turn if it was ended before", () => {
    const { bench, waiting } = crowded(1);
    waiting[0]?.stream.end();
    bench.receive(encode("window", "A", 2, 0));
    expect(bench.sent()).toEqual(["window S 514 0", "window F 514 0"]);
    bench.receive(encode("window", "AF", 514, 0));
    expect(waiting[0]?.calls).toEqual(["end"]);
  });

  it("sends no frame if it is reset before its turn", () => {
    const { bench, waiting } = crowded(2);
    waiting[0]?.stream.reset();
    bench.receive(encode("window", "A", 2, 0), encode("window", "A", 4, 0));
    expect(bench.sent()).toEqual(["window S 514 0"]);
    expect(waiting[0]?.calls).toEqual([]);
    expect(waiting[1]?.stream.id).toBe(514);
  });

  it.each([
    ["a reset by the peer", (bench: SessionBench) => bench.receive(encode("window", "R", 2, 0))],
    ["an ACK on data", (bench: SessionBench) => bench.receive(encode("data", "A", 2, hello))],
    ["an ACK with a FIN", (bench: SessionBench) => bench.receive(encode("window", "AF", 2, 0))],
  ])("has its turn after %s", (_name, act) => {
    const { bench, waiting } = crowded(1);
    act(bench);
    expect(waiting[0]?.stream.id).toBe(514);
  });

  it("has one turn for a stream that is accepted, ended and reset", () => {
    const { bench, waiting } = crowded(3);
    bench.receive(encode("window", "A", 2, 0), encode("window", "A", 2, 0), encode("window", "R", 2, 0));
    expect(waiting.map(({ stream }) => stream.id)).toEqual([514, 0, 0]);
  });

  it("has its turn in the same callback that resets a stream", () => {
    const bench = new SessionBench("server");
    const first = bench.open();
    for (let i = 1; i < 256; i++) bench.open();
    first.onResetDo = () => {
      const again = bench.open();
      again.stream.write(hello, 0, 5);
    };
    bench.receive(encode("window", "R", 2, 0));
    expect(bench.sent()).toEqual(["window S 514 0"]);
  });
});

describe("the queue", () => {
  it("is bounded: a session whose queue is full isn't accepting", () => {
    const { bench } = crowded(MAX_QUEUED_STREAMS);
    expect(bench.session.accepting).toBe(false);
    expect(bench.session.openStream(new Recorder())).toBeUndefined();
    bench.receive(encode("window", "A", 2, 0));
    expect(bench.session.accepting).toBe(true);
  });

  it("survives a queued stream that ends the session when its turn comes", () => {
    const { bench, waiting } = crowded(3);
    for (const { stream } of waiting) stream.write(hello, 0, 5);
    Object.assign(waiting[0] as Recorder, { onWritableDo: () => bench.session.end() });
    bench.receive(encode("window", "AF", 2, 0));
    expect(waiting.map(({ calls }) => calls)).toEqual([["writable", "reset"], ["reset"], ["reset"]]);
    bench.clock.assertIdle();
  });
});

describe("an accepted stream", () => {
  it("is ACKed once, at once, and never again", () => {
    const bench = new SessionBench("client");
    bench.receive(encode("window", "S", 2, 0));
    expect(bench.sent()).toEqual(["window A 2 0"]);
    const stream = bench.accepted[0]?.stream;
    stream?.write(hello, 0, 5);
    stream?.flushFlags();
    bench.receive(encode("data", "", 2, Buffer.alloc(1 << 17)));
    stream?.consume(1 << 17);
    stream?.end();
    expect(bench.sent()).toEqual(["data 2 5", "window 2 131072", "window F 2 0"]);
  });

  it("that we opened sends its SYN once", () => {
    const bench = new SessionBench("server");
    const { stream } = bench.open();
    stream.flushFlags();
    stream.flushFlags();
    stream.write(hello, 0, 5);
    expect(stream.unacknowledged).toBe(true);
    bench.receive(encode("window", "A", 2, 0));
    expect(stream.unacknowledged).toBe(false);
    stream.end();
    expect(bench.sent()).toEqual(["window S 2 0", "data 2 5", "window F 2 0"]);
  });
});

describe("stream ids", () => {
  it("are watched: before they run out, both sides are asked to move on, and an idle session ends with GoAway(2)", () => {
    const bench = new SessionBench("server", { firstStreamId: 0xdfff_fffe });
    const last = bench.open();
    bench.sent();
    bench.clock.advance(30_000);
    expect(bench.sent()).toEqual(["goaway 0 0", "ping S 0 0"]);
    expect(bench.goAways).toBe(1);
    expect(bench.session.accepting).toBe(true);
    bench.receive(encode("window", "AF", last.stream.id, 0), encode("ping", "A", 0, 0));
    last.stream.end();
    bench.sent();
    bench.clock.advance(10_000);
    expect(bench.goAways).toBe(1);
    expect(bench.failure).toBe("PIKO_YAMUX_IDS_EXHAUSTED");
    expect(bench.sent()).toEqual(["goaway 0 2"]);
    bench.clock.assertIdle();
  });

  it("are never used twice: a session without any left accepts no stream and ends", () => {
    const bench = new SessionBench("server", { firstStreamId: 0xffff_fffc });
    expect([bench.open().stream.id, bench.open().stream.id]).toEqual([0xffff_fffc, 0xffff_fffe]);
    expect(bench.session.accepting).toBe(false);
    expect(bench.session.openStream(new Recorder())).toBeUndefined();
    bench.clock.advance(30_000);
    expect(bench.failure).toBe("PIKO_YAMUX_IDS_EXHAUSTED");
    bench.clock.assertIdle();
  });

  it("aren't promised to more queued streams than there are", () => {
    const bench = new SessionBench("server", { firstStreamId: 0xffff_fffe - 2 * 257 });
    for (let i = 0; i < 258; i++) bench.open();
    expect(bench.session.accepting).toBe(false);
    bench.receive(
      encode("window", "A", 0xffff_fffe - 2 * 257, 0),
      encode("window", "A", 0xffff_fffe - 2 * 256, 0),
    );
    expect(bench.sent().at(-1)).toBe(`window S ${0xffff_fffe} 0`);
  });
});
