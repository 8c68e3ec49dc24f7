import { describe, expect, it } from "vitest";
import { Recorder, SessionBench } from "../../tests/session-bench.js";
import { brief, encode } from "../../tests/yamux-frames.js";

describe("the bytes of a session", () => {
  it("opens stream 2 as a Go server does, if the SYN isn't sent with data", () => {
    const bench = new SessionBench("server");
    bench.open().stream.flushFlags();
    expect(bench.sentBytes().toString("hex")).toBe("000100010000000200000000");
  });

  it("sends the SYN with the first data", () => {
    const bench = new SessionBench("server");
    expect(bench.open().stream.write(Buffer.from("hello"), 0, 5)).toBe(5);
    expect(bench.sentBytes().toString("hex")).toBe(
      `000000010000000200000005${Buffer.from("hello").toString("hex")}`,
    );
  });

  it("accepts a captured stream and its request, and answers with the ACK that a Go agent sends", () => {
    const bench = new SessionBench("client");
    const request =
      "474554202f20485454502f312e310d0a486f73743a20780d0a436f6e6e656374696f6e3a20636c6f73650d0a0d0a";
    bench.receive("000100010000000200000000", `00000000000000020000002e${request}`);
    expect(bench.sentBytes().toString("hex")).toBe("000100020000000200000000");
    expect(bench.accepted[0]?.bytes.toString("hex")).toBe(request);
    expect(bench.accepted[0]?.stream?.id).toBe(2);
  });

  it("sends FIN and RST as window updates", () => {
    const bench = new SessionBench("client");
    bench.receive("000100010000000200000000", "000100010000000400000000");
    bench.sentBytes();
    bench.accepted[0]?.stream?.end();
    bench.accepted[1]?.stream?.reset();
    expect(bench.sentBytes().toString("hex")).toBe("000100040000000200000000000100080000000400000000");
  });

  it("answers a ping with its own number", () => {
    const bench = new SessionBench("client");
    bench.receive("0002000100000000deadbeef", "000200010000000000000000");
    expect(bench.sentBytes().toString("hex")).toBe("0002000200000000deadbeef000200020000000000000000");
  });

  it.each([
    [0, "000300000000000000000000"],
    [1, "000300000000000000000001"],
    [2, "000300000000000000000002"],
  ])("sends GoAway(%i)", (code, hex) => {
    const bench = new SessionBench("server");
    bench.session.goAway(code);
    expect(bench.sentBytes().toString("hex")).toBe(hex);
  });

  it("sends GoAway(0) once, and GoAway(2) even after it", () => {
    const bench = new SessionBench("server");
    bench.session.goAway();
    bench.session.goAway();
    bench.session.goAway(2);
    expect(bench.sent()).toEqual(["goaway 0 0", "goaway 0 2"]);
  });

  it("gives a server even ids and a client odd ones, in order", () => {
    for (const [role, ids] of [
      ["server", [2, 4, 6]],
      ["client", [1, 3, 5]],
    ] as const) {
      const bench = new SessionBench(role);
      expect([bench.open().stream.id, bench.open().stream.id, bench.open().stream.id]).toEqual(ids);
    }
  });
});

describe("frames that end a session", () => {
  const open = encode("window", "S", 2, 0);
  it.each([
    ["a version other than 0", "010000000000000200000000", "PIKO_YAMUX_VERSION"],
    ["an unknown type", "000400000000000200000000", "PIKO_YAMUX_FRAME_TYPE"],
    ["a second SYN for a live stream", open, "PIKO_YAMUX_SECOND_SYN"],
    ["a SYN on an id of our own", encode("window", "S", 3, 0), "PIKO_YAMUX_STREAM_ID"],
    ["a SYN on stream 0", encode("window", "S", 0, 0), "PIKO_YAMUX_STREAM_ID"],
    [
      "a second FIN",
      Buffer.concat([encode("window", "F", 2, 0), encode("window", "F", 2, 0)]),
      "PIKO_YAMUX_SECOND_FIN",
    ],
    ["data above the window", "000000000000000200040001", "PIKO_YAMUX_WINDOW_EXCEEDED"],
  ])("%s: GoAway(1), and every stream is reset", (_name, frame, code) => {
    const bench = new SessionBench("client");
    bench.receive(open);
    bench.sent();
    bench.receive(frame);
    expect(bench.failure).toBe(code);
    expect(bench.sent()).toEqual(["goaway 0 1"]);
    expect(bench.accepted[0]?.calls.at(-1)).toBe("reset");
    expect(bench.accepted[0]?.calls.filter((call) => call === "reset")).toHaveLength(1);
    expect(bench.session.ended).toBe(true);
    expect(bench.session.streamCount).toBe(0);
    bench.clock.assertIdle();
  });

  it.each([
    [1, /protocol error/],
    [2, /internal error/],
    [3, /code 3/],
  ])("GoAway(%i): no GoAway back", (code, text) => {
    const bench = new SessionBench("server");
    const stream = bench.open();
    bench.sent();
    bench.receive(encode("goaway", "", 0, code));
    expect(bench.failure).toBe("PIKO_YAMUX_GO_AWAY");
    expect(bench.failures[0]?.message).toMatch(text);
    expect(bench.sent()).toEqual([]);
    expect(stream.calls).toEqual(["reset"]);
    bench.clock.assertIdle();
  });

  it("reads nothing after the frame that ended it", () => {
    const bench = new SessionBench("client");
    bench.receive("010000000000000000000000", encode("window", "S", 2, 0), encode("goaway", "", 0, 2));
    expect(bench.accepted).toHaveLength(0);
    bench.receive(encode("window", "S", 2, 0));
    expect(bench.accepted).toHaveLength(0);
    expect(bench.failure).toBe("PIKO_YAMUX_VERSION");
  });
});

describe("frames that don't", () => {
  it("ignores anything for unknown streams, payload included", () => {
    const bench = new SessionBench("client");
    bench.receive(
      encode("data", "", 8, Buffer.from("lost")),
      encode("window", "", 8, 77),
      encode("window", "F", 8, 0),
      encode("window", "R", 8, 0),
      encode("data", "FA", 8, Buffer.from("lost")),
      encode("window", "S", 2, 0),
    );
    expect(bench.failure).toBeUndefined();
    expect(bench.sent()).toEqual(["window A 2 0"]);
  });

  it("ignores unknown flags and answers to pings that were never sent", () => {
    const bench = new SessionBench("client");
    bench.receive("0001fff10000000200000000", "000200020000000000000009", "0002000e0000000000000009");
    expect(bench.failure).toBeUndefined();
    expect(bench.sent()).toEqual(["window A 2 0"]);
  });

  it("accepts SYNs out of order, as several goroutines of a Go server send them", () => {
    const bench = new SessionBench("client");
    bench.receive(encode("window", "S", 6, 0), encode("window", "S", 2, 0), encode("window", "S", 4, 0));
    expect(bench.failure).toBeUndefined();
    expect(bench.sent()).toEqual(["window A 6 0", "window A 2 0", "window A 4 0"]);
  });

  it("accepts SYN, payload and FIN in one frame", () => {
    const bench = new SessionBench("client");
    bench.receive(encode("data", "SF", 2, Buffer.from("all")));
    expect(bench.accepted[0]?.calls).toEqual(["data", "end"]);
    expect(bench.accepted[0]?.bytes.toString()).toBe("all");
    expect(bench.sent()).toEqual(["window A 2 0"]);
  });

  it("accepts SYN and RST in one frame", () => {
    const bench = new SessionBench("client");
    bench.receive(encode("window", "SR", 2, 0));
    expect(bench.accepted[0]?.calls).toEqual(["reset"]);
    expect(bench.session.streamCount).toBe(0);
  });

  it("accepts an empty data frame with only a flag", () => {
    const bench = new SessionBench("client");
    bench.receive(encode("data", "S", 2, Buffer.alloc(0)), encode("data", "F", 2, Buffer.alloc(0)));
    expect(bench.accepted[0]?.calls).toEqual(["end"]);
  });
});

describe("GoAway(0) from the peer", () => {
  it("is reported once; open streams continue, queued ones are reset, new ones refused", () => {
    const bench = new SessionBench("server");
    const streams = Array.from({ length: 257 }, () => bench.open());
    const [first, last] = [streams[0], streams[256]];
    bench.receive(encode("goaway", "", 0, 0), encode("goaway", "", 0, 0));
    expect(bench.goAways).toBe(1);
    expect(bench.session.remoteGoAway).toBe(true);
    expect(bench.session.openStream(new Recorder())).toBeUndefined();
    expect(last?.calls).toEqual(["reset"]);
    expect(first?.calls).toEqual([]);
    bench.sent();
    bench.receive(encode("data", "A", 2, Buffer.from("late")));
    expect(first?.bytes.toString()).toBe("late");
    expect(first?.stream.write(Buffer.from("x"), 0, 1)).toBe(1);
    expect(bench.sent()).toEqual(["data S 2 1"]);
  });

  it("isn't reported if the reset of a queued stream ended the session", () => {
    const bench = new SessionBench("server");
    const streams = Array.from({ length: 257 }, () => bench.open());
    Object.assign(streams[256] as Recorder, { onResetDo: () => bench.session.end() });
    bench.receive(encode("goaway", "", 0, 0));
    expect(bench.goAways).toBe(0);
  });
});

describe("a stream that was opened on a session that ends", () => {
  it("is refused, and can be sent again, if nothing of it was on the wire", () => {
    const bench = new SessionBench("server");
    const [unsent, sent] = [bench.open(), bench.open()];
    sent.stream.write(Buffer.from("x"), 0, 1);
    bench.session.end();
    expect([unsent.stream.refused, sent.stream.refused]).toEqual([true, false]);
  });
});

describe("streams of the peer", () => {
  it("are refused with RST after our GoAway, and their payload is dropped", () => {
    const bench = new SessionBench("client");
    bench.receive(encode("window", "S", 2, 0));
    bench.session.goAway();
    bench.receive(encode("data", "S", 4, Buffer.from("late")), encode("data", "", 2, Buffer.from("on time")));
    expect(bench.sent()).toEqual(["window A 2 0", "goaway 0 0", "window R 4 0"]);
    expect(bench.accepted).toHaveLength(1);
    expect(bench.accepted[0]?.bytes.toString()).toBe("on time");
  });

  it("are refused with only an RST if the owner returns no handler", () => {
    const bench = new SessionBench("server");
    bench.onStreamDo = () => undefined;
    bench.receive(encode("data", "S", 1, Buffer.from("dropped")), encode("data", "", 1, Buffer.from("too")));
    expect(bench.sent()).toEqual(["window R 1 0"]);
    expect(bench.session.streamCount).toBe(0);
    expect(bench.accepted[0]?.stream?.closed).toBe(true);
  });

  it("are refused above the limit, until one has ended", () => {
    const bench = new SessionBench("client", { maxPeerStreams: 2 });
    bench.receive(encode("window", "S", 2, 0), encode("window", "S", 4, 0), encode("window", "S", 6, 0));
    expect(bench.sent()).toEqual(["window A 2 0", "window A 4 0", "window R 6 0"]);
    bench.receive(encode("window", "R", 2, 0), encode("window", "S", 8, 0));
    expect(bench.sent()).toEqual(["window A 8 0"]);
    bench.accepted[1]?.stream?.end();
    bench.receive(encode("window", "F", 4, 0), encode("window", "S", 10, 0));
    expect(bench.sent()).toEqual(["window F 4 0", "window A 10 0"]);
  });

  it("may be ended, reset or written to within onStream", () => {
    for (const [act, frames] of [
      [(bench: SessionBench) => bench.accepted[0]?.stream?.end(), ["window A 2 0", "window F 2 0"]],
      [(bench: SessionBench) => bench.accepted[0]?.stream?.reset(), ["window A 2 0", "window R 2 0"]],
      [(bench: SessionBench) => bench.accepted[0]?.stream?.write(Buffer.from("hi"), 0, 2), ["data A 2 2"]],
    ] as const) {
      const bench = new SessionBench("client");
      bench.onStreamDo = (_, recorder) => {
        act(bench);
        return recorder;
      };
      bench.receive(encode("window", "S", 2, 0));
      expect(bench.sent()).toEqual(frames);
      bench.receive(encode("window", "R", 2, 0));
      expect(bench.session.streamCount).toBe(0);
    }
  });

  it("are reset if the owner ends the session within onStream", () => {
    const bench = new SessionBench("client");
    bench.onStreamDo = (_, recorder) => {
      bench.session.end();
      return recorder;
    };
    bench.receive(encode("data", "S", 2, Buffer.from("x")));
    expect(bench.accepted[0]?.calls).toEqual(["reset"]);
    expect(bench.sent()).toEqual([]);
    bench.clock.assertIdle();
  });
});

describe("end", () => {
  it("resets all streams, once, and sends nothing", () => {
    const bench = new SessionBench("server");
    const streams = Array.from({ length: 260 }, () => bench.open());
    bench.session.end();
    bench.session.end();
    for (const { calls } of streams) expect(calls).toEqual(["reset"]);
    for (const { stream } of streams) {
      stream.end();
      stream.reset();
      stream.flushFlags();
      stream.consume(1 << 20);
      expect(stream.write(Buffer.from("x"), 0, 1)).toBe(1);
    }
    bench.session.goAway(2);
    expect(bench.sentBytes()).toHaveLength(0);
    expect(bench.session.openStream(new Recorder())).toBeUndefined();
    expect(bench.failures).toEqual([]);
    bench.clock.assertIdle();
  });

  it("can be called from any callback of a read", () => {
    for (const [name, frame, calls] of [
      ["onDataDo", encode("data", "F", 2, Buffer.from("x")), ["data", "reset"]],
      ["onEndDo", encode("window", "F", 2, 0), ["end", "reset"]],
      ["onResetDo", encode("window", "R", 2, 0), ["reset"]],
    ] as const) {
      const bench = new SessionBench("client");
      bench.receive(encode("window", "S", 2, 0), encode("window", "S", 4, 0));
      const [first, second] = bench.accepted as [Recorder, Recorder];
      first[name] = () => bench.session.end();
      bench.receive(frame, encode("data", "", 4, Buffer.from("never seen")));
      expect(second.calls).toEqual(["reset"]);
      expect(first.calls).toEqual(calls);
      bench.clock.assertIdle();
    }
  });
});

describe("a peer that sends requests and doesn't read", () => {
  it.each([
    ["pings", encode("ping", "S", 0, 1), "client"],
    ["opens streams that are refused", encode("window", "S", 1, 0), "server"],
  ] as const)("is cut off when it %s", (_name, frame, role) => {
    const bench = new SessionBench(role);
    bench.onStreamDo = () => undefined;
    bench.socket.stalled = true;
    const many = Buffer.concat(Array.from({ length: 1000 }, () => frame));
    for (let i = 0; i < 1000 && bench.failures.length === 0; i++) {
      bench.receive(many);
      bench.out.onTurnEnd();
    }
    expect(bench.failure).toBe("PIKO_TUNNEL_BACKLOG");
    expect(bench.out.pendingBytes).toBeLessThan(4.2 * 1024 * 1024);
    const memory = bench.socket.waiting.reduce((sum, { memory }) => sum + memory.buffer.byteLength, 0);
    expect(memory).toBeLessThan(4.5 * 1024 * 1024);
    bench.clock.assertIdle();
  });

  it("is cut off when it opens and ends streams", () => {
    const bench = new SessionBench("client");
    bench.onStreamDo = (stream, recorder) => {
      recorder.onEndDo = () => stream.end();
      return recorder;
    };
    bench.socket.stalled = true;
    for (let id = 2; bench.failures.length === 0 && id < 2_000_000; id += 2) {
      bench.receive(encode("window", "SF", id, 0));
    }
    expect(bench.failure).toBe("PIKO_TUNNEL_BACKLOG");
  });
});

it("counts open streams in streamCount, including queued ones", () => {
  const bench = new SessionBench("server");
  const streams = Array.from({ length: 258 }, () => bench.open());
  expect(bench.session.streamCount).toBe(258);
  streams[257]?.stream.reset();
  streams[0]?.stream.reset();
  expect(bench.session.streamCount).toBe(256);
  expect(brief(bench.sentBytes())).toEqual(["window S 2 0", "window R 2 0", "window S 514 0"]);
});
