// The limits of one HTTP/2 connection, tested with known flood attacks; and how connections of idle clients, slow clients and
// a stopping node end.

import { describe, expect, it } from "vitest";
import {
  ACK,
  block,
  CONTINUATION,
  data,
  END_HEADERS,
  END_STREAM,
  frame,
  GET_FIELDS,
  GOAWAY,
  HEADERS,
  headers,
  PING,
  POST_FIELDS,
  RST_STREAM,
  SETTINGS,
  uint32,
  WINDOW_UPDATE,
} from "../../../test/h2-peer.js";
import { h2Rigs } from "../../../test/h2-rigs.js";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const create = h2Rigs();

describe("limits", () => {
  it("refuse streams above the announced number", () => {
    const rig = create({ http2: { maxConcurrentStreams: 2 } });
    rig.peer.send(...[1, 3, 5].map((id) => headers(id, GET_FIELDS)));
    expect([1, 3, 5].map((id) => rig.peer.answer(id).reset)).toEqual([undefined, undefined, 7]);
    expect(rig.node.asked).toBe(2);
    rig.node.stream.deliver(OK);
    rig.peer.send(headers(7, GET_FIELDS));
    expect(rig.node.asked).toBe(3);
    expect(rig.node.hits).toEqual(["http2_max_concurrent_streams"]);
  });

  it("end a connection that begins requests and resets them (CVE-2023-44487)", () => {
    const rig = create({ http2: { maxResets: 10 } });
    for (let id = 1; id < 40; id += 2)
      rig.peer.send(headers(id, GET_FIELDS), frame(RST_STREAM, 0, id, uint32(8)));
    expect(rig.peer.goAway).toMatchObject({ code: 11, message: "too many streams reset" });
    expect(rig.node.asked).toBe(11);
    expect(rig.node.hits).toEqual(["http2_max_resets"]);
    expect(rig.socket.calls).toEqual(["close"]);
  });

  it("end a connection that makes us reset its streams (CVE-2025-8671)", () => {
    const rig = create({ http2: { maxResets: 10 } });
    for (let id = 1; id < 40; id += 2)
      rig.peer.send(headers(id, GET_FIELDS), frame(WINDOW_UPDATE, 0, id, uint32(0)));
    expect(rig.peer.goAway).toMatchObject({ code: 11, message: "too many streams reset" });
    expect(rig.node.asked).toBe(11);
  });

  it.each([
    ["settings", frame(SETTINGS, 0, 0)],
    ["pings", frame(PING, 0, 0, "12345678")],
    ["empty data", data(1, "")],
    ["priorities", frame(2, 0, 1, `${uint32(0)}\0`)],
    ["window updates", frame(WINDOW_UPDATE, 0, 1, uint32(1))],
    ["frames of an unknown type", frame(99, 0, 0, "x")],
  ])("end a connection that is flooded with %s (CVE-2019-9512 and others)", (_name, flood) => {
    const rig = create({ http2: { maxControlFrames: 100 } });
    rig.peer.send(headers(1, POST_FIELDS, false));
    for (let i = 0; i < 200 && rig.peer.goAway === undefined; i++) rig.peer.send(flood);
    expect(rig.peer.goAway).toMatchObject({ code: 11, message: "too many control frames" });
    expect(rig.node.hits).toEqual(["http2_max_control_frames"]);
    expect(rig.socket.calls).toEqual(["close"]);
  });

  it("allow pings in proportion to time and to responses", () => {
    const rig = create({ http2: { maxControlFrames: 100 } });
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 9; i++) rig.peer.send(frame(PING, 0, 0, "12345678"));
      rig.node.clock.advance(1_000);
    }
    rig.peer.send(headers(1, GET_FIELDS));
    rig.node.stream.deliver("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let i = 0; i < 1_000; i++) {
      rig.node.stream.deliver("1\r\nx\r\n");
      rig.peer.send(frame(PING, 0, 0, "12345678"), frame(WINDOW_UPDATE, 0, 1, uint32(1)));
    }
    expect(rig.peer.goAway).toBeUndefined();
  });

  it("end a connection whose header block never ends (CVE-2024-27316)", () => {
    const empty = create({ http2: { maxControlFrames: 100 } });
    empty.peer.send(frame(HEADERS, 0, 1, block(GET_FIELDS)));
    for (let i = 0; i < 200 && empty.peer.goAway === undefined; i++)
      empty.peer.send(frame(CONTINUATION, 0, 1));
    expect(empty.peer.goAway).toMatchObject({ code: 11, message: "too many control frames" });
    const long = create({ http: { maxHeaderBytes: 20_000 } });
    long.peer.send(frame(HEADERS, 0, 1, block(GET_FIELDS)));
    for (let i = 0; i < 2; i++) long.peer.send(frame(CONTINUATION, 0, 1, "x".repeat(16_000)));
    expect(long.peer.goAway).toMatchObject({ code: 11, message: "header block too large" });
    expect(long.node.hits).toEqual(["max_header_bytes"]);
  });

  it("refuse fields that are much larger than their block", () => {
    const rig = create({ http: { maxHeaderBytes: 20_000 } });
    // A table entry of nearly 4,096 bytes, and its index a hundred times.
    const value = "v".repeat(4_000);
    const entry = `\x40\x01x\x7f${String.fromCharCode(0x80 | ((4_000 - 127) & 0x7f))}${String.fromCharCode((4_000 - 127) >> 7)}${value}`;
    rig.peer.send(
      frame(HEADERS, END_HEADERS | END_STREAM, 1, block(GET_FIELDS) + entry + "\xbe".repeat(100)),
    );
    expect(rig.peer.answer(1)).toMatchObject({ status: "431", ended: true });
    rig.peer.send(headers(3, GET_FIELDS));
    expect(rig.node.asked).toBe(1);
  });

  it("end a connection that doesn't complete what it has begun", () => {
    for (const bytes of ["", headers(1, GET_FIELDS).slice(0, 20), frame(HEADERS, 0, 1, block(GET_FIELDS))]) {
      const rig = create();
      if (bytes !== "") rig.peer.send(bytes);
      rig.node.clock.advance(9_000);
      expect(rig.socket.calls).toEqual([]);
      if (bytes === "") continue;
      rig.node.clock.advance(2_000);
      expect(rig.socket.calls[0]).toBe("destroy");
      expect(rig.node.hits[0]).toBe("read_header_timeout");
    }
  });

  it("end an idle connection with GOAWAY, and one that reads nothing with a reset", () => {
    const rig = create();
    rig.node.clock.advance(299_000);
    expect(rig.socket.calls).toEqual([]);
    rig.node.clock.advance(2_000);
    expect(rig.socket.calls).toEqual(["close"]);
    expect(rig.peer.goAway).toEqual({ lastStreamId: 0, code: 0, message: "" });
    const stuck = create();
    stuck.socket.stalled = true;
    stuck.peer.send(frame(PING, 0, 0, "12345678"));
    stuck.socket.out.flush();
    stuck.node.clock.advance(11_000);
    expect(stuck.socket.calls[0]).toBe("reset");
    // Unless the timeout is disabled.
    const waitsIndefinitely = create({ http: { writeTimeoutMs: 0 } });
    waitsIndefinitely.socket.stalled = true;
    waitsIndefinitely.peer.send(headers(1, POST_FIELDS, false), frame(PING, 0, 0, "12345678"));
    waitsIndefinitely.socket.out.flush();
    waitsIndefinitely.node.clock.advance(9_000);
    expect(waitsIndefinitely.socket.calls).toEqual([]);
  });
});

describe("a stopping node", () => {
  it("asks for no more streams, accepts those on their way, and finishes them", () => {
    const rig = create();
    rig.peer.send(headers(1, GET_FIELDS));
    rig.node.context.closing = true;
    rig.node.context.draining = true;
    rig.connection.stop();
    expect(rig.peer.goAway).toEqual({ lastStreamId: 0x7fff_ffff, code: 0, message: "" });
    rig.peer.send(headers(3, GET_FIELDS));
    const [ping] = rig.peer.of(PING);
    rig.peer.send(frame(PING, ACK, 0, ping?.payload));
    expect(rig.peer.goAway).toEqual({ lastStreamId: 3, code: 0, message: "" });
    rig.peer.send(headers(5, GET_FIELDS));
    expect(rig.peer.answer(5).reset).toBe(7);
    for (const stream of rig.node.tunnel.streams) stream.deliver(OK);
    expect([1, 3].map((id) => rig.peer.answer(id).body)).toEqual(["ok", "ok"]);
    expect(rig.socket.calls).toEqual(["close"]);
    expect(rig.peer.of(GOAWAY)).toHaveLength(2);
  });

  it("or one that no longer accepts a client refuses its new streams, and finishes open ones", () => {
    const rig = create();
    rig.peer.send(headers(1, GET_FIELDS));
    rig.connection.retire();
    rig.peer.send(headers(3, GET_FIELDS));
    expect(rig.peer.answer(3).reset).toBe(7);
    expect(rig.node.tunnel.streams).toHaveLength(1);
    rig.node.stream.deliver(OK);
    expect(rig.peer.answer(1).body).toBe("ok");
    rig.node.clock.advance(2_000);
    expect(rig.socket.calls).toEqual(["close"]);
    const idle = create();
    idle.connection.retire();
    expect(idle.socket.calls).toEqual(["close"]);
  });

  it("ends an idle connection, and sends GOAWAY to a busy one at its next request", () => {
    const idle = create();
    idle.connection.stop();
    expect(idle.peer.goAway).toEqual({ lastStreamId: 0, code: 0, message: "" });
    expect(idle.socket.calls).toEqual(["close"]);
    const rig = create();
    rig.node.context.closing = true;
    rig.peer.send(headers(1, GET_FIELDS));
    expect(rig.peer.goAway?.lastStreamId).toBe(0x7fff_ffff);
    rig.node.stream.deliver(OK);
    expect(rig.socket.calls).toEqual([]);
    rig.node.clock.advance(2_000);
    expect(rig.socket.calls).toEqual(["close"]);
  });
});
