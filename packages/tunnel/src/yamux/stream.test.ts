import { describe, expect, it } from "vitest";
import { type Recorder, SessionBench } from "../../tests/session-bench.js";
import { decode, encode } from "../../tests/yamux-frames.js";
import type { YamuxStream } from "./stream.js";

const WINDOW = 256 * 1024;
const half = Buffer.alloc(WINDOW / 2, 7);
const full = Buffer.alloc(WINDOW, 7);

function accept(): { bench: SessionBench; recorder: Recorder; stream: YamuxStream } {
  const bench = new SessionBench("client");
  bench.receive(encode("window", "S", 2, 0));
  bench.sent();
  const recorder = bench.accepted[0] as Recorder;
  return { bench, recorder, stream: recorder.stream as YamuxStream };
}

describe("the receive window", () => {
  it("is updated when half of it is consumed, by what was consumed", () => {
    const { bench, stream } = accept();
    bench.receive(encode("data", "", 2, full));
    stream.consume(WINDOW / 2 - 1);
    expect(bench.sent()).toEqual([]);
    stream.consume(1);
    expect(bench.sent()).toEqual([`window 2 ${WINDOW / 2}`]);
    stream.consume(WINDOW / 2);
    expect(bench.sent()).toEqual([`window 2 ${WINDOW / 2}`]);
  });

  it("accepts exactly its size, and one byte more ends the session", () => {
    const { bench, stream, recorder } = accept();
    bench.receive(encode("data", "", 2, full));
    expect(bench.failure).toBeUndefined();
    stream.consume(WINDOW / 2);
    bench.receive(encode("data", "", 2, half));
    expect(bench.failure).toBeUndefined();
    expect(recorder.bytes).toHaveLength(WINDOW * 1.5);
    bench.receive(encode("data", "", 2, Buffer.from("x")));
    expect(bench.failure).toBe("PIKO_YAMUX_WINDOW_EXCEEDED");
    expect(recorder.bytes).toHaveLength(WINDOW * 1.5);
  });

  it("is checked on the header, before a byte of payload has arrived", () => {
    const { bench } = accept();
    bench.receive(encode("data", "", 2, Buffer.alloc(WINDOW + 1)).subarray(0, 12));
    expect(bench.failure).toBe("PIKO_YAMUX_WINDOW_EXCEEDED");
  });

  it("isn't updated after the peer's FIN or after the stream's end", () => {
    const { bench, stream } = accept();
    bench.receive(encode("data", "", 2, full), encode("window", "F", 2, 0));
    stream.consume(WINDOW);
    expect(bench.sent()).toEqual([]);
    stream.end();
    stream.consume(WINDOW);
    expect(bench.sent()).toEqual(["window F 2 0"]);
  });
});

describe("a stream to a peer without half-closes", () => {
  const open = (): { bench: SessionBench; stream: YamuxStream; idle: () => number } => {
    const bench = new SessionBench("server", { peerHalfCloses: false });
    const { stream } = bench.open();
    stream.flushFlags();
    bench.sent();
    return { bench, stream, idle: () => bench.session.streamCount };
  };

  it("sends nothing after its FIN, because the peer may have forgotten it", () => {
    const { bench, stream, idle } = open();
    bench.receive(encode("window", "A", 2, 0), encode("data", "", 2, half));
    stream.end();
    expect(bench.sent()).toEqual(["window F 2 0"]);
    stream.consume(WINDOW / 2);
    stream.reset();
    expect(bench.sent()).toEqual([]);
    expect(idle()).toBe(1);
    bench.receive(encode("data", "", 2, half), encode("window", "F", 2, 0));
    expect(idle()).toBe(0);
    expect(bench.sent()).toEqual([]);
    expect(bench.failure).toBeUndefined();
  });

  it("is reset if it has not ended, whether or not the peer has", () => {
    for (const ended of [true, false]) {
      const { bench, stream, idle } = open();
      if (ended) bench.receive(encode("window", "AF", 2, 0));
      stream.reset();
      expect(bench.sent()).toEqual(["window R 2 0"]);
      expect(idle()).toBe(0);
    }
  });
});

describe("the send window", () => {
  it("stops a write at its end and continues when the peer grants more", () => {
    const { bench, stream, recorder } = accept();
    expect(stream.write(Buffer.alloc(WINDOW + 100), 0, WINDOW + 100)).toBe(WINDOW);
    const sent = decode(bench.sentBytes());
    expect(sent.every(({ type, flags }) => type === "data" && flags === "")).toBe(true);
    expect(sent.reduce((sum, { value }) => sum + value, 0)).toBe(WINDOW);
    expect(stream.write(Buffer.alloc(1), 0, 1)).toBe(0);
    expect(recorder.calls).toEqual([]);
    bench.receive(encode("window", "", 2, 100));
    expect(recorder.calls).toEqual(["writable"]);
    expect(stream.write(Buffer.alloc(200), 0, 200)).toBe(100);
    expect(bench.sent()).toEqual(["data 2 100"]);
  });

  it("isn't reported to a stream that has not been stopped", () => {
    const { bench, recorder } = accept();
    bench.receive(encode("window", "", 2, 100));
    expect(recorder.calls).toEqual([]);
  });

  it("is enlarged by the ACK", () => {
    const bench = new SessionBench("server");
    const { stream } = bench.open();
    bench.receive(encode("window", "A", 2, 0xfc0000));
    expect(stream.write(Buffer.alloc(1 << 20), 0, 1 << 20)).toBe(1 << 20);
  });

  it("remains a uint32 whatever the peer adds", () => {
    const bench = new SessionBench("server");
    const { stream } = bench.open();
    bench.receive(encode("window", "A", 2, 0xffff_ffff), encode("window", "", 2, 0xffff_ffff));
    expect(stream.write(Buffer.alloc(1 << 20), 0, 1 << 20)).toBe(1 << 20);
    expect(bench.failure).toBeUndefined();
  });

  it("may end or reset the stream from onWritable, with more flags on the frame", () => {
    for (const act of ["end", "reset"] as const) {
      const { bench, stream, recorder } = accept();
      stream.write(Buffer.alloc(WINDOW + 1), 0, WINDOW + 1);
      bench.sentBytes();
      recorder.onWritableDo = () => stream[act]();
      bench.receive(encode("window", "F", 2, 100));
      expect(recorder.calls).toEqual(act === "end" ? ["writable", "end"] : ["writable"]);
      expect(bench.session.streamCount).toBe(0);
    }
  });
});

describe("a stream's end", () => {
  it("is complete when both sides have sent FIN, in either order", () => {
    for (const order of ["local", "remote"] as const) {
      const { bench, stream, recorder } = accept();
      if (order === "local") stream.end();
      bench.receive(encode("window", "F", 2, 0));
      expect(recorder.calls).toEqual(["end"]);
      if (order === "remote") {
        expect(stream.closed).toBe(false);
        stream.end();
      }
      expect(stream.closed).toBe(true);
      expect(bench.session.streamCount).toBe(0);
      expect(bench.sent()).toEqual(["window F 2 0"]);
      // Later frames, including a second FIN, are for an unknown stream now.
      bench.receive(
        encode("window", "F", 2, 0),
        encode("data", "", 2, Buffer.from("x")),
        encode("window", "R", 2, 0),
      );
      expect(recorder.calls).toEqual(["end"]);
      expect(bench.failure).toBeUndefined();
    }
  });

  it("sends one FIN, and nothing after it", () => {
    const { bench, stream } = accept();
    stream.end();
    stream.end();
    expect(stream.write(Buffer.from("late"), 0, 4)).toBe(4);
    expect(bench.sent()).toEqual(["window F 2 0"]);
  });

  it("is sent as SYN and FIN if nothing was written", () => {
    const bench = new SessionBench("server");
    bench.open().stream.end();
    expect(bench.sent()).toEqual(["window S 2 0", "window F 2 0"]);
  });

  it("never sends FIN together with data or an ACK", () => {
    const bench = new SessionBench("client");
    bench.onStreamDo = (stream, recorder) => {
      stream.write(Buffer.from("bye"), 0, 3);
      stream.end();
      return recorder;
    };
    bench.receive(encode("window", "S", 2, 0));
    expect(bench.sent()).toEqual(["data A 2 3", "window F 2 0"]);
  });

  it("leaves the stream receiving, with window updates, after our FIN", () => {
    const { bench, stream, recorder } = accept();
    stream.end();
    bench.receive(encode("data", "", 2, half));
    stream.consume(half.length);
    expect(recorder.bytes).toHaveLength(half.length);
    expect(bench.sent()).toEqual(["window F 2 0", `window 2 ${half.length}`]);
  });

  it("leaves the stream sending after the peer's FIN", () => {
    const { bench, stream } = accept();
    bench.receive(encode("window", "F", 2, 0));
    stream.write(Buffer.from("rest"), 0, 4);
    stream.end();
    expect(bench.sent()).toEqual(["data 2 4", "window F 2 0"]);
  });

  it("drops data after the peer's FIN, and a second FIN on such data ends the session", () => {
    const { bench, recorder } = accept();
    bench.receive(encode("window", "F", 2, 0), encode("data", "", 2, Buffer.from("late")));
    expect(recorder.calls).toEqual(["end"]);
    expect(bench.failure).toBeUndefined();
    bench.receive(encode("data", "F", 2, Buffer.from("later")));
    expect(bench.failure).toBe("PIKO_YAMUX_SECOND_FIN");
  });

  it("comes after the payload of the frame that carries it, in however many pieces", () => {
    const { bench, recorder } = accept();
    for (const byte of encode("data", "F", 2, Buffer.from("tail"))) bench.receive(Buffer.from([byte]));
    expect(recorder.bytes.toString()).toBe("tail");
    expect(recorder.calls).toEqual(["data", "data", "data", "data", "end"]);
  });
});

describe("a reset", () => {
  it("by the peer is reported once and forgets the stream", () => {
    const { bench, stream, recorder } = accept();
    bench.receive(encode("window", "R", 2, 0), encode("window", "R", 2, 0), encode("window", "F", 2, 0));
    expect(recorder.calls).toEqual(["reset"]);
    stream.reset();
    stream.end();
    expect(bench.sent()).toEqual([]);
    expect(bench.session.streamCount).toBe(0);
  });

  it("by us isn't reported, and later frames are dropped", () => {
    const { bench, stream, recorder } = accept();
    stream.reset();
    stream.reset();
    bench.receive(
      encode("data", "", 2, Buffer.from("x")),
      encode("window", "F", 2, 0),
      encode("window", "R", 2, 0),
    );
    expect(recorder.calls).toEqual([]);
    expect(bench.sent()).toEqual(["window R 2 0"]);
    expect(bench.failure).toBeUndefined();
  });

  it.each([
    ["after our FIN, is reported", ["end"], ["window F 2 0"]],
    ["after both FINs, is ignored", ["end", "F"], ["window F 2 0"]],
  ] as const)("by the peer, %s", (_name, steps, frames) => {
    const { bench, stream, recorder } = accept();
    for (const step of steps) {
      if (step === "end") stream.end();
      else bench.receive(encode("window", "F", 2, 0));
    }
    bench.receive(encode("window", "R", 2, 0));
    expect(recorder.calls).toEqual(steps.length === 1 ? ["reset"] : ["end"]);
    expect(bench.sent()).toEqual(frames);
  });

  it("by the peer, after its own FIN, is reported after the end", () => {
    const { bench, recorder } = accept();
    bench.receive(encode("window", "F", 2, 0), encode("window", "R", 2, 0));
    expect(recorder.calls).toEqual(["end", "reset"]);
  });

  it("in the middle of a payload drops the rest, and the FIN on that frame", () => {
    const { bench, stream, recorder } = accept();
    recorder.onDataDo = () => stream.reset();
    const frame = encode("data", "F", 2, Buffer.from("abcd"));
    bench.receive(frame.subarray(0, 14));
    bench.receive(frame.subarray(14), encode("ping", "S", 0, 5));
    expect(recorder.bytes.toString()).toBe("ab");
    expect(recorder.calls).toEqual(["data"]);
    expect(bench.sent()).toEqual(["window R 2 0", "ping A 0 5"]);
  });

  it("of a stream that the peer has not heard of opens it first", () => {
    const bench = new SessionBench("server");
    bench.open().stream.reset();
    expect(bench.sent()).toEqual(["window S 2 0", "window R 2 0"]);
  });
});

describe("what is sent as one frame", () => {
  const head = Buffer.from("head.rest");
  const body = Buffer.from("<body>");
  const payloads = (bench: SessionBench): string[] =>
    decode(bench.sentBytes()).map(({ type, payload }) => `${type} ${payload.toString()}`);

  function open(): { bench: SessionBench; stream: YamuxStream } {
    const bench = new SessionBench("server");
    const { stream } = bench.open();
    stream.flushFlags();
    bench.sent();
    return { bench, stream };
  }

  it("consists of two pieces, one after the other", () => {
    const { bench, stream } = open();
    expect(stream.writeBoth(head, 4, body, 1, 5)).toBe(8);
    expect(payloads(bench)).toEqual(["data headbody"]);
  });

  it("is as much of two pieces as the window allows, in frames of their own", () => {
    const { bench, stream } = open();
    stream.write(full, 0, WINDOW - 6);
    bench.sent();
    expect(stream.writeBoth(head, 4, body, 1, 5)).toBe(6);
    expect(payloads(bench)).toEqual(["data head", "data bo"]);
    expect(stream.writeBoth(head, 4, body, 1, 5)).toBe(0);
    expect(payloads(bench)).toEqual([]);
  });

  it("has nothing of the second piece while the first has no room", () => {
    const { bench, stream } = open();
    stream.write(full, 0, WINDOW - 3);
    bench.sent();
    expect(stream.writeBoth(head, 4, body, 1, 5)).toBe(3);
    expect(payloads(bench)).toEqual(["data hea"]);
  });

  it("contains what was written in place, with the pending flags, and counts against the window", () => {
    const bench = new SessionBench("server");
    const { stream } = bench.open();
    const start = stream.reserve(100);
    stream.commit(start, start + stream.slab.write("in place", start, "latin1"));
    expect(decode(bench.sentBytes())).toMatchObject([{ type: "data", flags: "S", id: 2, value: 8 }]);
    expect(stream.write(full, 0, WINDOW)).toBe(WINDOW - 8);
  });

  it("has no room without window, on a congested socket, or after the stream's end", () => {
    const { bench, stream } = open();
    expect(stream.reserve(64 * 1024 + 1)).toBe(-1);
    stream.write(full, 0, WINDOW - 99);
    bench.sent();
    expect(stream.reserve(100)).toBe(-1);
    const other = bench.open().stream;
    bench.socket.stalled = true;
    other.write(half, 0, half.length);
    bench.out.onTurnEnd();
    expect(other.reserve(17 * 1024)).toBe(-1);
    expect(other.reserve(100)).toBeGreaterThan(0);
    other.end();
    expect(other.reserve(100)).toBe(-1);
  });
});
