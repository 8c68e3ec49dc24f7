// Whole exchanges between a Go server and agents, captured byte for byte: they are read through both layers, and what is sent
// in answer is compared.

import { describe, expect, it } from "vitest";
import { type Recorder, SessionBench } from "../tests/session-bench.js";
import { FrameReader } from "./websocket/frame-reader.js";

/** Passes captured WebSocket messages to a session. */
function receive(bench: SessionBench, masked: boolean, messages: readonly string[]): void {
  const reader = new FrameReader(masked, {
    onPayload: (buffer, start, end) => bench.session.receive(buffer, start, end),
    onPing: () => {},
    onPong: () => {},
    onCloseFrame: () => {},
    onBadFrame: (error) => {
      throw error;
    },
  });
  const bytes = Buffer.from(messages.join(""), "hex");
  reader.read(bytes, 0, bytes.length);
  expect(bench.failures).toEqual([]);
}

const text = (recorder: Recorder | undefined): string => recorder?.bytes.toString("latin1") ?? "";

describe("a Go server", () => {
  const request = [
    "820c000100010000000200000000",
    "820c00000000000000020000007b",
    "827b474554202f7820485454502f312e310d0a486f73743a2065702e780d0a582d466f727761726465642d466f723a203132" +
      "372e302e302e310d0a582d50696b6f2d466f72776172643a20747275650d0a4163636570742d456e636f64696e673a20677a" +
      "69700d0a436f6e6e656374696f6e3a20636c6f73650d0a0d0a",
  ];
  const fin = "820c000100040000000200000000";

  it("opens a stream, sends a request and ends it", () => {
    const bench = new SessionBench("client");
    receive(bench, false, request);
    expect(bench.sentBytes().toString("hex")).toBe("000100020000000200000000");
    const [stream] = bench.accepted;
    expect(text(stream)).toMatch(/^GET \/x HTTP\/1\.1\r\nHost: ep\.x\r\n[^]*\r\n\r\n$/);
    receive(bench, false, [fin]);
    expect(stream?.calls.at(-1)).toBe("end");
  });

  it("reads an agent's acknowledgement and response", () => {
    const bench = new SessionBench("server");
    const stream = bench.open();
    stream.stream.flushFlags();
    expect(bench.sentBytes().toString("hex")).toBe("000100010000000200000000");
    receive(bench, true, [
      "828c00000000000100020000000200000000",
      "828c0000000000000000000000020000002882a800000000485454502f312e3120323030204f4b0d0a436f6e74656e742d4c" +
        "656e6774683a20320d0a0d0a6f6b",
    ]);
    expect(text(stream)).toBe("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect(stream.stream.unacknowledged).toBe(false);
    stream.stream.end();
    expect(bench.sentBytes().toString("hex")).toBe(fin.slice(4));
  });
});

describe("a Go agent", () => {
  it("gets bytes that are known to be accepted, and its answer is read", () => {
    const bench = new SessionBench("server");
    const stream = bench.open();
    stream.stream.flushFlags();
    const request = Buffer.from("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "latin1");
    stream.stream.write(request, 0, request.length);
    const accepted = [
      "820c000100010000000200000000",
      "823a00000000000000020000002e474554202f20485454502f312e310d0a486f73743a20780d0a436f6e6e656374696f6e3a" +
        "20636c6f73650d0a0d0a",
    ];
    // Message boundaries have no meaning, so only the contents are compared.
    expect(bench.sentBytes().toString("hex")).toBe(accepted.map((message) => message.slice(4)).join(""));
    receive(bench, true, [
      "828c0e4c34170e4d34150e4c34150e4c3417",
      "828c0d6204c10d6204c10d6204c30d620448",
      "82fe00891f4dbc395719e869307c92083f7f8c093f02f734150ed3576b28d24d3201d9577839d4033f7fb1335b2cc85c256d" +
        "f15671619c0b2c6df256696d8e092d7b9c0828778d0e25788d195800e834150ed3576b28d24d3219c5497a779c4d7a35c816" +
        "6f21dd5071769c5a772cce4a7a39814c6b2b91011247ff567123d95a6b24d357256ddf55703ed9341540b65674",
      "828c1c6d3bf21c6c3bf61c6d3bf01c6d3bf2",
    ]);
    expect(text(stream)).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n/);
    expect(stream.bytes).toHaveLength(137);
    expect(stream.calls.at(-1)).toBe("end");
  });

  it("that drains resets new streams", () => {
    const bench = new SessionBench("server");
    bench.open().stream.flushFlags();
    const refused = bench.open();
    refused.stream.flushFlags();
    let seen = false;
    refused.onResetDo = () => (seen = refused.stream.refused);
    bench.receive("000100080000000400000000");
    expect(seen).toBe(true);
  });
});
