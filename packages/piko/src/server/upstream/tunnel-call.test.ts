// A call over one stream: what is written, what is queued, and how each end is reported.

import { describe, expect, it } from "vitest";
import { requestHead } from "../../../test/memory-heads.js";
import { MemoryStream } from "../../../test/memory-stream.js";
import { REASONS, type Reason } from "../../http/reasons.js";
import type { Seen, UpstreamEvents } from "../../http/exchange/upstream-call.js";
import { ResponseHead } from "../../http/head.js";
import { PLAIN_REQUEST } from "../../http/request-rewrite.js";
import { ByteBudget } from "../../net/byte-budget.js";
import { TunnelCall } from "./tunnel-call.js";

const SWITCH = "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";

function setUp(
  request = "GET /x HTTP/1.1\r\nHost: e.test",
  { halfClose = true, last = true, room = Number.POSITIVE_INFINITY } = {},
) {
  const recorded: string[] = [];
  const events: UpstreamEvents = {
    onInform: (head) => void recorded.push(`inform ${head.status}`),
    onSwitch: (head) => recorded.push(`switch ${head.status}`) > 0,
    onResponse: (head) => void recorded.push(`response ${head.status}`),
    onResponseBody: (buffer, start, end) => void recorded.push(buffer.toString("latin1", start, end)),
    onResponseEnd: () => void recorded.push("end"),
    onUpstreamTurn: () => {},
    sweep: () => {},
    onUpstreamWritable: () => void recorded.push("writable"),
    onLost: (why: Reason, seen: Seen) => void recorded.push(`${why.code} ${seen}`),
  };
  const budget = new ByteBudget(100_000);
  const call = new TunnelCall(events, { head: new ResponseHead(20), maxHeadBytes: 8_192, budget });
  const stream = new MemoryStream(call);
  stream.room = room;
  call.open(stream.asStream(), halfClose);
  call.send(requestHead(request), PLAIN_REQUEST, last);
  return { budget, call, stream, recorded };
}

const text = (value: string): [Buffer, number, number] => [Buffer.from(value), 0, value.length];

describe("TunnelCall", () => {
  it("queues bytes that the stream has no room for, in order, and reports when they are sent", () => {
    const { budget, call, stream, recorded } = setUp(
      "POST /x HTTP/1.1\r\nHost: e.test\r\nTransfer-Encoding: chunked",
      { last: false },
    );
    stream.room = 4;
    call.write(...text("ab"));
    call.write(...text("cd"));
    call.end(Buffer.from("X: 1\r\n"));
    expect([call.congested, call.connecting]).toEqual([true, false]);
    stream.makeRoom(3);
    expect(recorded).toEqual([]);
    stream.makeRoom();
    expect([recorded, call.congested, budget.used]).toEqual([["writable"], false, 0]);
    expect(stream.written.split("\r\n\r\n").slice(1).join("\r\n\r\n")).toBe(
      "2\r\nab\r\n2\r\ncd\r\n0\r\nX: 1\r\n\r\n",
    );
    stream.makeRoom();
    expect(recorded).toEqual(["writable"]);
  });

  it.each([
    ["of few bytes", 2, [2]],
    ["as long as a frame may be", 65_536 - 18, [65_518]],
    ["longer than that, which becomes two frames", 65_536, [65_518, 18]],
  ])("writes a chunk as one frame: one %s", (_title, bytes, chunks) => {
    const { call, stream } = setUp("POST /x HTTP/1.1\r\nHost: e.test\r\nTransfer-Encoding: chunked", {
      last: false,
    });
    const before = stream.written.length;
    stream.frames = 0;
    call.write(Buffer.alloc(bytes, "x"), 0, bytes);
    expect(stream.frames).toBe(chunks.length);
    const expected = chunks.map((size) => `${size.toString(16)}\r\n${"x".repeat(size)}\r\n`);
    expect(stream.written.slice(before)).toBe(expected.join(""));
  });

  it.each<[string, string, (stream: MemoryStream) => void, string[]]>([
    ["a reset before the answer", "", (stream) => stream.handler.onReset(), ["reset maybe"]],
    [
      "a stream that was refused",
      "",
      (stream) => {
        stream.refused = true;
        stream.handler.onReset();
      },
      ["refused no"],
    ],
    ["an end before the answer", "", (stream) => stream.handler.onEnd(), ["lost maybe"]],
    ["an end within the head", "HTTP/1.1 2", (stream) => stream.handler.onEnd(), ["lost answered"]],
    [
      "an end within the body",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
      (stream) => stream.handler.onEnd(),
      ["response 200", "ab", "cut answered"],
    ],
    [
      "an answer that isn't HTTP",
      "",
      (stream) => stream.deliver("nonsense\r\n\r\n"),
      ["bad_response answered"],
    ],
  ])("reports %s, resets and forgets the stream", (_title, before, event, events) => {
    const { budget, call, stream, recorded } = setUp();
    if (before !== "") stream.deliver(before);
    event(stream);
    expect(recorded).toEqual(events);
    expect(stream.calls).toEqual(["reset"]);
    // Later events on either side have no effect.
    stream.deliver("HTTP/1.1 200 OK\r\n\r\n");
    stream.handler.onEnd();
    stream.handler.onReset();
    stream.makeRoom();
    call.onEnd();
    call.onWritable();
    call.write(...text("x"));
    call.consume(1);
    call.abort(REASONS.early);
    call.release();
    expect([recorded, stream.calls, budget.used]).toEqual([events, ["reset"], 0]);
  });

  it("takes the end of the stream as the body's end if the head has no framing", () => {
    const { call, stream, recorded } = setUp();
    stream.deliver("HTTP/1.1 200 OK\r\n\r\nab");
    stream.handler.onEnd();
    expect(recorded).toEqual(["response 200", "ab", "end"]);
    call.release();
    expect(stream.calls).toEqual(["end later"]);
  });

  it("grants window for a head at once, and for the body when it is consumed", () => {
    const { call, stream } = setUp();
    const head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    stream.deliver(`${head}ok`);
    expect(stream.consumed).toBe(head.length);
    call.consume(2);
    expect(stream.consumed).toBe(head.length + 2);
  });

  it("ends a raw direction after queued bytes", () => {
    const { call, stream, recorded } = setUp();
    stream.deliver(SWITCH);
    stream.room = 0;
    call.write(...text("bye"));
    call.end(undefined);
    expect(stream.calls).toEqual([]);
    stream.makeRoom();
    expect([stream.written.endsWith("bye"), stream.calls, recorded]).toEqual([
      true,
      ["end"],
      ["switch 101", "writable"],
    ]);
  });

  it("drops queued bytes for a Go agent that has ended, since it reads no more", () => {
    const { budget, call, stream, recorded } = setUp(undefined, { halfClose: false });
    stream.deliver(SWITCH);
    stream.room = 0;
    call.write(...text("bye"));
    stream.handler.onEnd();
    expect([call.congested, stream.calls, recorded, budget.used]).toEqual([
      false,
      ["end"],
      ["switch 101", "end"],
      0,
    ]);
  });

  it("ends a raw direction at once if nothing is queued, and does nothing if its stream is gone", () => {
    for (const gone of [false, true]) {
      const { call, stream } = setUp();
      stream.deliver(SWITCH);
      if (gone) stream.handler.onReset();
      call.end(undefined);
      expect(stream.calls).toEqual([gone ? "reset" : "end"]);
    }
  });

  it("queues a head that the stream has no room for", () => {
    const whole = setUp().stream.written;
    for (let room = 0; room < whole.length; room += 7) {
      const { budget, call, stream } = setUp(undefined, { room });
      expect([stream.written, call.congested]).toEqual([whole.slice(0, room), true]);
      stream.makeRoom();
      expect([stream.written, call.congested, budget.used]).toEqual([whole, false, 0]);
    }
  });

  it.each<[string, Partial<MemoryStream>, Seen, Seen]>([
    ["none of it has been sent", { unacknowledged: true, unsent: true }, "no", "no"],
    ["it was sent, but its agent hasn't accepted it", { unacknowledged: true }, "maybe", "maybe"],
    ["its agent has accepted it", {}, "answered", "maybe"],
  ])("reports whether the agent may have seen the request: %s", (_, state, seen, lost) => {
    const { call, stream, recorded } = setUp();
    Object.assign(stream, state);
    expect([call.seen, call.begun]).toEqual([seen, false]);
    call.giveUp();
    expect([recorded, stream.calls]).toEqual([[`silent ${lost}`], ["reset"]]);
  });

  it("has begun with the first byte of a response, even an interim one", () => {
    const { call, stream, recorded } = setUp();
    stream.deliver("HTTP/1.1 103 Early Hints\r\n\r\n");
    expect([call.begun, recorded]).toEqual([true, ["inform 103"]]);
    stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect(recorded).toEqual(["inform 103", "response 200"]);
  });
});
