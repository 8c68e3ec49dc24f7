// Bodies of requests over HTTP/2, in memory: their windows, lengths, timeouts and trailers.

import { describe, expect, it } from "vitest";
import { data, DATA, frame, headers, POST_FIELDS, WINDOW_UPDATE } from "../../../test/h2-peer.js";
import { h2Rigs } from "../../../test/h2-rigs.js";

const create = h2Rigs();

describe("a request's body", () => {
  it("is granted window as the service takes it", () => {
    const rig = create({ http2: { streamWindowBytes: 65_535, connectionWindowBytes: 131_070 } });
    rig.peer.send(headers(1, POST_FIELDS, false));
    const { stream } = rig.node;
    stream.room = 40_000;
    const piece = "p".repeat(16_000);
    rig.peer.send(data(1, piece), data(1, piece), data(1, piece), data(1, piece));
    // At first, only the part of the connection's window that exceeds the default.
    const grants = (): [number, number][] =>
      rig.peer
        .of(WINDOW_UPDATE)
        .map(({ payload, streamId }) => [streamId, Buffer.from(payload, "latin1").readUInt32BE(0)]);
    expect(grants()).toEqual([[0, 65_535]]);
    stream.room = 1_000_000;
    stream.handler.onWritable();
    expect(grants().slice(1).sort()).toEqual([[1, 64_000]]);
    rig.peer.send(data(1, piece));
    expect(grants().slice(2)).toEqual([[0, 80_000]]);
  });

  it("that overruns a window ends its stream or the connection", () => {
    const rig = create({ http2: { streamWindowBytes: 65_535, connectionWindowBytes: 131_070 } });
    rig.peer.send(
      headers(1, POST_FIELDS, false),
      headers(3, POST_FIELDS, false),
      headers(5, POST_FIELDS, false),
    );
    for (const stream of rig.node.tunnel.streams) stream.room = 0;
    const piece = "p".repeat(16_384);
    rig.peer.send(...Array.from({ length: 4 }, () => data(1, piece)));
    expect(rig.peer.answer(1).reset).toBe(3);
    // The bytes that the first stream held were granted back.
    for (const id of [3, 5]) rig.peer.send(...Array.from({ length: 3 }, () => data(id, piece)));
    expect(rig.peer.goAway).toBeUndefined();
    rig.peer.send(headers(7, POST_FIELDS, false));
    rig.node.stream.room = 0;
    rig.peer.send(...Array.from({ length: 3 }, () => data(7, piece)));
    expect(rig.peer.goAway).toMatchObject({ code: 3, message: "window overrun" });
  });

  it("may be padded, and padding counts toward the window", () => {
    const rig = create();
    rig.peer.send(
      headers(1, POST_FIELDS, false),
      frame(DATA, 8, 1, `\x04abc\0\0\0\0`),
      frame(DATA, 9, 1, "\0"),
    );
    expect(rig.node.stream.written.endsWith("3\r\nabc\r\n0\r\n\r\n")).toBe(true);
  });

  it("must have its announced length", () => {
    for (const [frames, reset] of [
      [[data(1, "abcd", true)], undefined],
      [[data(1, "ab"), data(1, "cd"), data(1, "", true)], undefined],
      [[data(1, "abc", true)], 1],
      [[data(1, "abcde")], 1],
      [[data(1, "abc"), headers(1, [["x", "1"]])], 1],
    ] as const) {
      const rig = create();
      rig.peer.send(headers(1, [...POST_FIELDS, ["content-length", "4"]], false), ...frames);
      expect(rig.peer.answer(1).reset).toBe(reset);
      expect(rig.node.stream.calls).toEqual(reset === undefined ? [] : ["reset"]);
      if (reset === undefined)
        expect(rig.node.stream.written).toMatch(/content-length: 4\r\n.*\r\n\r\nabcd$/s);
    }
  });

  it("doesn't time out while the service has no room for it", () => {
    const rig = create();
    rig.peer.send(headers(1, POST_FIELDS, false));
    rig.node.stream.room = 0;
    rig.peer.send(data(1, "abc"));
    rig.node.clock.advance(20_000);
    rig.node.stream.makeRoom();
    rig.peer.send(data(1, "def", true));
    expect(rig.node.stream.written).toMatch(/\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n$/);
    expect(rig.node.hits).toEqual([]);
  });

  it("loses trailers that aren't allowed, and is rejected if they are about framing", () => {
    const rig = create();
    rig.peer.send(headers(1, POST_FIELDS, false), data(1, "abc"), headers(1, [["authorization", "late"]]));
    expect(rig.node.stream.written.endsWith("3\r\nabc\r\n0\r\n\r\n")).toBe(true);
    rig.peer.send(headers(3, POST_FIELDS, false), data(3, "abc"), headers(3, [["content-length", "3"]]));
    expect(rig.peer.answer(3).reset).toBe(1);
    expect(rig.node.stream.calls).toEqual(["reset"]);
    expect(rig.peer.goAway).toBeUndefined();
  });

  it("is refused above the limit, and when it stalls", () => {
    const rig = create({ limits: { maxBodyBytes: 5 } });
    rig.peer.send(headers(1, POST_FIELDS, false), data(1, "abc"), data(1, "defg"));
    expect(rig.peer.answer(1)).toMatchObject({ status: "413", ended: true, reset: 0 });
    rig.peer.send(headers(3, POST_FIELDS, false), data(3, "abc"));
    rig.node.clock.advance(11_000);
    expect(rig.peer.answer(3)).toMatchObject({ status: "408", ended: true, reset: 0 });
    expect(rig.node.hits).toEqual(["max_body_bytes", "read_timeout"]);
  });
});
