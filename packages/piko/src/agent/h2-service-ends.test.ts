// How connections and streams of a service that speaks HTTP/2 end, and what happens to their requests: which are retried, and
// which must not be. The service consists of hand-written frames.

import { FakeClock } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { type AgentRigOptions, type RawService, Fixtures } from "../../test/agent-rig.js";
import {
  ACK,
  data,
  END_STREAM,
  type Field,
  frame,
  GOAWAY,
  headers,
  HEADERS,
  PING,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  settings,
  uint32,
} from "../../test/h2-peer.js";
import { FrameService } from "../../test/h2-services.js";

const fixtures = new Fixtures();

afterEach(() => fixtures.dispose());

const GET = "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nbody";
const OK: readonly Field[] = [
  [":status", "200"],
  ["content-length", "0"],
];
const UNREACHABLE = '{"error":"upstream unreachable","endpoint":"my-endpoint","reason":"';
const REFUSED_STREAM = 7;
const INTERNAL_ERROR = 2;

const stage = async (more: Partial<AgentRigOptions> = {}) => {
  const service = await fixtures.raw(() => {});
  const rig = await fixtures.rig({ service: service.port, protocol: "h2c", ...more });
  return { rig, service, connection: (index: number) => FrameService.of(service, index) };
};

const reset = (streamId: number, code: number): string => frame(RST_STREAM, 0, streamId, uint32(code));
const goAway = (lastStreamId: number, code = 0): string =>
  frame(GOAWAY, 0, 0, uint32(lastStreamId) + uint32(code));

describe("a request that the service hasn't processed is retried, whatever its method", () => {
  it("if its stream is refused", async () => {
    const { connection, rig } = await stage();
    const stream = rig.open().write(POST);
    const service = await connection(0);
    await service.request(0);
    service.send(reset(1, REFUSED_STREAM));
    const again = await service.request(1);
    await service.until(() =>
      service.frames.some(({ payload, streamId }) => streamId === 3 && payload === "body"),
    );
    expect(again).toMatchObject({ streamId: 3, fields: { ":method": "POST" } });
    service.send(headers(3, OK));
    expect((await stream.over()).text).toContain("200");
  });

  it("on another connection, if the service sends GOAWAY before it", async () => {
    const { connection, rig, service } = await stage();
    const first = rig.open().write(GET);
    const old = await connection(0);
    await old.request(0);
    const second = rig.open().write(POST);
    await old.request(1);
    old.send(goAway(1));
    const next = await connection(1);
    expect(await next.request(0)).toMatchObject({ streamId: 1, fields: { ":method": "POST" } });
    old.send(headers(1, OK));
    next.send(headers(1, OK));
    expect((await first.over()).text).toContain("200");
    expect((await second.over()).text).toContain("200");
    await service.gone(0);
  });

  it("but only a limited number of times", async () => {
    const { connection, rig } = await stage();
    const stream = rig.open().write(POST);
    const service = await connection(0);
    for (let i = 0; i < 4; i++) service.send(reset((await service.request(i)).streamId, REFUSED_STREAM));
    expect((await stream.over()).text).toContain(UNREACHABLE);
    expect(service.requests).toHaveLength(4);
  });
});

describe("a request that the service may have processed", () => {
  it.each([
    ["GET", 2],
    ["POST", 1],
  ])(
    "is retried if its connection had been established, and its method allows it: %s",
    async (method, connections) => {
      const { connection, rig, service } = await stage();
      const first = rig.open().write(GET);
      const old = await connection(0);
      await old.request(0);
      old.send(headers(1, OK));
      await first.over();
      const stream = rig.open().write(method === "GET" ? GET : POST);
      await old.request(1);
      old.socket.destroy();
      if (connections === 2) {
        const next = await connection(1);
        await next.request(0);
        next.send(headers(1, OK));
      }
      const { text } = await stream.over();
      expect(text).toContain(connections === 2 ? "200" : UNREACHABLE);
      expect(service.connections).toHaveLength(connections);
    },
  );

  it("is answered with 502 if its stream is reset", async () => {
    const { connection, rig } = await stage();
    const stream = rig.open().write(GET);
    const service = await connection(0);
    await service.request(0);
    service.send(reset(1, INTERNAL_ERROR));
    expect((await stream.over()).text).toContain(UNREACHABLE);
  });

  it("is cut if its response had begun, and other requests continue", async () => {
    const { connection, rig } = await stage();
    const stream = rig.open().write(GET);
    const other = rig.open().write(GET);
    const service = await connection(0);
    await service.request(1);
    service.send(headers(1, [[":status", "200"]], false), data(1, "begun"));
    await stream.until(({ text }) => text.includes("begun"));
    service.send(reset(1, INTERNAL_ERROR));
    expect((await stream.over()).reset).toBe(true);
    service.send(headers(3, OK));
    expect((await other.over()).text).toContain("200");
  });
});

it("a response that is no longer wanted changes nothing", async () => {
  const { connection, rig } = await stage();
  const gone = rig.open().write(GET);
  const service = await connection(0);
  await service.request(0);
  gone.stream?.reset();
  const { payload, streamId } = await service.frame(RST_STREAM);
  expect([streamId, payload]).toEqual([1, uint32(8)]);
  const other = rig.open().write(GET);
  await service.request(1);
  service.send(headers(1, [[":status", "200"]], false), data(1, "late", true), headers(3, OK));
  expect((await other.over()).text).toContain("200");
});

describe("a service that misbehaves", () => {
  const answered = async (frames: readonly string[]) => {
    const { connection, rig, service } = await stage();
    const stream = rig.open().write(GET);
    const peer = await connection(0);
    await peer.request(0);
    peer.send(...frames);
    return { node: await stream.over(), peer, service };
  };

  it.each<[string, string[]]>([
    ["no status", [headers(1, [["a", "b"]])]],
    ["two statuses", [headers(1, [...OK, [":status", "200"]])]],
    ["an invalid status", [headers(1, [[":status", "20"]])]],
    ["status 101", [headers(1, [[":status", "101"]])]],
    [
      "a request's pseudo-field",
      [
        headers(1, [
          [":status", "200"],
          [":path", "/"],
        ]),
      ],
    ],
    [
      "upper-case names",
      [
        headers(1, [
          [":status", "200"],
          ["X-A", "b"],
        ]),
      ],
    ],
    [
      "a connection-specific field",
      [
        headers(1, [
          [":status", "200"],
          ["connection", "close"],
        ]),
      ],
    ],
    [
      "transfer-encoding",
      [
        headers(1, [
          [":status", "200"],
          ["transfer-encoding", "chunked"],
        ]),
      ],
    ],
    [
      "a line break in a value",
      [
        headers(1, [
          [":status", "200"],
          ["a", "b\r\nc: d"],
        ]),
      ],
    ],
    [
      "a content-length that the stream's end contradicts",
      [
        headers(1, [
          [":status", "200"],
          ["content-length", "4"],
        ]),
      ],
    ],
    ["two lengths", [headers(1, [...OK, ["content-length", "1"]])]],
    ["an interim response that ends the stream", [headers(1, [[":status", "103"]])]],
    ["a body before its head", [data(1, "x")]],
    ["a push", [frame(PUSH_PROMISE, 4, 1, uint32(2))]],
    ["a stream that was never opened", [headers(9, OK)]],
    [
      "a head larger than agents accept",
      [
        headers(1, [
          [":status", "200"],
          ["a", "b".repeat(65_520)],
        ]),
      ],
    ],
  ])("is answered with 502: %s", async (_name, frames) => {
    const { node } = await answered(frames.flatMap(inPieces));
    expect(node.text).toContain(UNREACHABLE);
  });

  it.each<[string, string[]]>([
    ["longer than announced", [data(1, "abcde")]],
    ["shorter than announced", [data(1, "abc", true)]],
    ["ended by invalid trailers", [data(1, "abcd"), headers(1, [[":status", "200"]])]],
  ])("is cut if its body is %s", async (_name, frames) => {
    const { node } = await answered([
      headers(
        1,
        [
          [":status", "200"],
          ["content-length", "4"],
        ],
        false,
      ),
      ...frames,
    ]);
    expect(node.reset).toBe(true);
  });

  it("gets a 502 if it speaks HTTP/1.1 instead of HTTP/2", async () => {
    const service = await fixtures.raw((socket) => {
      socket.on("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    });
    const rig = await fixtures.rig({ service: service.port, protocol: "h2c" });
    expect((await rig.request(GET)).text).toContain(UNREACHABLE);
  });
});

/** Splits a HEADERS frame that is too long into HEADERS and CONTINUATION. */
function inPieces(bytes: string): string[] {
  if (bytes.length <= 16_393) return [bytes];
  const payload = bytes.slice(9);
  const pieces: string[] = [];
  for (let at = 0; at < payload.length; at += 16_384) {
    const last = at + 16_384 >= payload.length ? 4 : 0;
    pieces.push(
      at === 0
        ? frame(HEADERS, END_STREAM | last, 1, payload.slice(0, 16_384))
        : frame(9, last, 1, payload.slice(at, at + 16_384)),
    );
  }
  return pieces;
}

describe("silence", () => {
  it("a service that never begins to speak HTTP/2 is given up after the timeout", async () => {
    const { rig, service } = await stage({ timeoutMs: 1 });
    const { text } = await rig.request(GET);
    expect(text).toMatch(/ 50[24] /);
    await service.gone(0);
  });

  it("a service with requests is pinged now and then, and given up if it doesn't answer", async () => {
    const clock = new FakeClock();
    const { connection, rig, service } = await stage({ clock, timeoutMs: 3_600_000 });
    const stream = rig.open().write(GET);
    const peer = await connection(0);
    await peer.request(0);
    await peer.until(() => peer.frames.some(({ flags, type }) => type === SETTINGS && flags === ACK));
    clock.advance(11_000);
    const { payload } = await peer.frame(PING);
    peer.send(frame(PING, ACK, 0, payload), headers(1, [[":status", "103"]], false));
    await stream.until(({ text }) => text.includes("103"));
    clock.advance(60_000);
    const other = rig.open().write(GET);
    await peer.request(1);
    expect(peer.frames.filter(({ type }) => type === PING)).toHaveLength(1);
    clock.advance(270_000);
    await peer.until(() => peer.frames.filter(({ type }) => type === PING).length === 2);
    clock.advance(10_500);
    expect((await stream.over()).text).toContain(UNREACHABLE);
    await service.gone(0);
    other.stream?.reset();
  });
});

it("a service's settings apply to requests that were sent before they were known", async () => {
  const service: RawService = await fixtures.raw(() => {});
  const rig = await fixtures.rig({ service: service.port, protocol: "h2c" });
  const stream = rig.open().write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789`);
  const peer = new FrameService(await service.connection(0));
  peer.send(frame(SETTINGS, 0, 0, settings([4, 0])));
  await peer.request(0);
  await peer.until(() => peer.frames.some(({ flags, type }) => type === SETTINGS && flags === ACK));
  const sent = () =>
    peer.frames
      .filter(({ type }) => type === 0)
      .map(({ payload }) => payload)
      .join("");
  // Bytes sent before the settings were known now count against the window.
  const before = sent().length;
  peer.send(frame(8, 0, 1, uint32(10)));
  await peer.until(() => sent() === "0123456789");
  expect([0, 10]).toContain(before);
  peer.send(headers(1, OK));
  expect((await stream.over()).text).toContain("200");
});
