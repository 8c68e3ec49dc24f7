// One client's HTTP/2 connection with its exchanges and a tunnel, all in memory: how requests and responses are translated,
// how windows work, and what ends a stream or the connection.

import { describe, expect, it } from "vitest";
import {
  ACK,
  block,
  CONTINUATION,
  data,
  DATA,
  END_HEADERS,
  END_STREAM,
  type Field,
  frame,
  GET_FIELDS,
  headers,
  HEADERS,
  PING,
  POST_FIELDS,
  RST_STREAM,
  SETTINGS,
  settings,
  uint32,
  WINDOW_UPDATE,
} from "../../../test/h2-peer.js";
import { h2Rigs } from "../../../test/h2-rigs.js";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const INITIAL_WINDOW = 4;

/** A request about the node itself, which is answered at once. */
const OPTIONS: readonly Field[] = [
  [":method", "OPTIONS"],
  [":scheme", "http"],
  [":path", "*"],
  [":authority", "e"],
];

const create = h2Rigs();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("H2Client", () => {
  it("passes on a request and its response", () => {
    const rig = create();
    rig.peer.send(headers(1, [...GET_FIELDS, ["accept", "*/*"], ["x-own", "1"]]));
    expect(rig.node.stream.written.replace(/(X-Request-Id:) [0-9a-f]{20}/, "$1 *")).toBe(
      "GET /x HTTP/1.1\r\nhost: e.test\r\naccept: */*\r\nx-own: 1\r\nX-Forwarded-For: 192.0.2.1\r\n" +
        "X-Forwarded-Proto: http\r\nX-Forwarded-Host: e.test\r\nX-Request-Id: *\r\nConnection: close\r\n\r\n",
    );
    rig.node.stream.deliver(
      `${OK.slice(0, 17)}X-Name: Value\r\nConnection: x-hop\r\nX-Hop: 1\r\n${OK.slice(17)}`,
    );
    const answer = rig.peer.answer(1);
    expect(answer.heads).toEqual([
      { ":status": "200", "x-name": "Value", "content-length": "2", date: "now" },
    ]);
    expect([answer.body, answer.ended, answer.reset]).toEqual(["ok", true, undefined]);
    expect(rig.node.statuses).toEqual({ "200": 1 });
  });

  it("reads frames that are split at any byte", () => {
    const frames = headers(1, POST_FIELDS, false) + data(1, "ab") + data(1, "", true);
    for (let cut = 1; cut < frames.length; cut++) {
      const rig = create();
      rig.socket.send(frames, cut);
      const body = rig.node.stream.written.split("\r\n\r\n").slice(1).join("");
      expect(body).toMatch(/^(2\r\nab|1\r\na\r\n1\r\nb)\r\n0$/);
    }
  });

  it("serves many streams at a time, each with its own response", () => {
    const rig = create();
    for (const id of [1, 3, 5])
      rig.peer.send(headers(id, [...GET_FIELDS.slice(0, 2), [":path", `/${id}`], ["host", "e.test"]]));
    const [first, second, third] = rig.node.tunnel.streams;
    third?.deliver("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n5");
    first?.deliver("HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n1");
    second?.deliver("HTTP/1.1 299 Odd\r\nContent-Length: 1\r\n\r\n3");
    expect([1, 3, 5].map((id) => [rig.peer.answer(id).status, rig.peer.answer(id).body])).toEqual([
      ["404", "1"],
      ["299", "3"],
      ["200", "5"],
    ]);
  });

  it("passes interim responses, bodies of unknown length and trailers", () => {
    const rig = create();
    rig.peer.send(headers(1, [...POST_FIELDS, ["te", "trailers"]], false));
    expect(rig.node.stream.written).toContain("TE: trailers\r\n");
    rig.peer.send(
      data(1, "abc"),
      headers(1, [
        ["x-sum", "9"],
        ["authorization", "not so late"],
      ]),
    );
    expect(rig.node.stream.written.endsWith("3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n")).toBe(true);
    rig.node.stream.deliver("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    rig.node.stream.deliver("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    rig.node.stream.deliver("0\r\nX-Sum: 7\r\n\r\n");
    const answer = rig.peer.answer(1);
    expect(answer.heads).toEqual([
      { ":status": "103", link: "</a>" },
      { ":status": "200", date: "now" },
      { "x-sum": "7" },
    ]);
    expect([answer.body, answer.ended]).toEqual(["abc", true]);
  });

  it("answers HEAD and 304 without bodies", () => {
    const rig = create();
    rig.peer.send(headers(1, [[":method", "HEAD"], ...GET_FIELDS.slice(1)]));
    rig.node.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    rig.peer.send(headers(3, GET_FIELDS));
    rig.node.stream.deliver("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    for (const id of [1, 3]) {
      const answer = rig.peer.answer(id);
      expect([answer.heads[0]?.["content-length"], answer.body, answer.ended]).toEqual(["99", "", true]);
    }
  });

  it("handles split header blocks in both directions", () => {
    const rig = create();
    const long = "v".repeat(40_000);
    const whole = block([...GET_FIELDS, ["x-long", long]]);
    rig.peer.send(
      frame(HEADERS, END_STREAM, 1, whole.slice(0, 16_384)),
      frame(CONTINUATION, 0, 1, whole.slice(16_384, 32_768)),
      frame(CONTINUATION, END_HEADERS, 1, whole.slice(32_768)),
    );
    expect(rig.node.stream.written).toContain(`x-long: ${long}\r\n`);
    rig.node.stream.deliver(`HTTP/1.1 200 OK\r\nX-Long: ${long}\r\nContent-Length: 0\r\n\r\n`);
    const blocks = rig.peer.of(HEADERS).concat(rig.peer.of(CONTINUATION));
    expect(blocks.map(({ flags }) => flags)).toEqual([END_STREAM, 0, END_HEADERS]);
    expect(blocks.map(({ payload }) => payload).join("")).toContain(long);
  });

  it.each([
    [
      "a request for an endpoint without listeners",
      [["x-piko-endpoint", "other"]],
      "502",
      "no available upstreams",
    ],
    ["a reserved path", [[":path", "/_piko/v1/x"]], "404", "not found"],
    ["a TCP tunnel", [[":path", "/_piko/v1/tcp/e"]], "426", "websocket upgrade required"],
    ["CONNECT", "connect", "501", "connect is not supported"],
    ["a head without a host", "no host", "400", "missing host field"],
    ["an unknown expectation", [["expect", "the best"]], "417", "expectation not supported"],
    ["an invalid authority", [[":authority", "e.test/x"]], "400", "invalid host"],
    ["a path that is too long", [[":path", `/${"p".repeat(20_000)}`]], "414", "request target too long"],
    ["a head that is too large", [["x", "v".repeat(1_100_000)]], "431", "message head too large"],
  ] as const)("answers %s in JSON", (_name, changes, status, message) => {
    const rig = create();
    let fields: [string, string][] = GET_FIELDS.map(([name, value]) => [name, value]);
    if (changes === "connect")
      fields = [
        [":method", "CONNECT"],
        [":authority", "e.test:1"],
      ];
    else if (changes === "no host") fields.pop();
    else {
      for (const [name, value] of changes) {
        const known = fields.find((field) => field[0] === name);
        if (known === undefined) fields.push([name, value]);
        else known[1] = value;
      }
    }
    const whole = block(fields);
    const parts = whole.match(/.{1,16384}/gs) ?? [];
    parts.forEach((part, at) => {
      const end = at === parts.length - 1 ? END_HEADERS : 0;
      rig.peer.send(frame(at === 0 ? HEADERS : CONTINUATION, end | (at === 0 ? END_STREAM : 0), 1, part));
    });
    if (status === "431") {
      // The block isn't decoded, so no later block of the connection can be.
      expect(rig.peer.goAway).toMatchObject({ code: 11, message: "header block too large" });
      return;
    }
    const answer = rig.peer.answer(1);
    const body = JSON.parse(answer.body) as Record<string, string>;
    expect([answer.status, body["error"], body["reason"]]).toEqual([status, message, expect.any(String)]);
    expect(answer.heads[0]?.["content-type"]).toBe("application/json");
    rig.peer.send(headers(3, GET_FIELDS));
    rig.node.stream.deliver(OK);
    expect(rig.peer.answer(3).body).toBe("ok");
  });

  it("answers OPTIONS * itself, and at most 128 requests in a turn", async () => {
    const rig = create();
    const ids = Array.from({ length: 300 }, (_, at) => at * 2 + 1);
    rig.peer.send(...ids.map((id) => headers(id, OPTIONS)));
    expect(rig.peer.of(HEADERS)).toHaveLength(128);
    expect(rig.socket.paused).toBe(true);
    await turn();
    expect(rig.peer.of(HEADERS)).toHaveLength(256);
    await turn();
    expect(rig.peer.of(HEADERS)).toHaveLength(300);
    expect(rig.socket.paused).toBe(false);
    expect(rig.node.statuses).toEqual({ "200": 300 });
  });

  it("keeps frames that arrive while it waits for its turn, in order", async () => {
    const rig = create();
    const ids = Array.from({ length: 130 }, (_, at) => at * 2 + 1);
    rig.peer.send(...ids.map((id) => headers(id, OPTIONS)));
    rig.peer.send(frame(PING, 0, 0, "12345678"));
    expect(rig.peer.of(PING)).toEqual([]);
    await turn();
    expect(rig.peer.of(PING)).toHaveLength(1);
    expect(rig.peer.frames.slice(-3).map(({ streamId, type }) => [type, streamId])).toEqual([
      [HEADERS, 257],
      [HEADERS, 259],
      [PING, 0],
    ]);
  });

  it("ends at an invalid frame in the right turn, and takes no turn if its client has disconnected", async () => {
    const frames = Array.from({ length: 130 }, (_, at) => headers(at * 2 + 1, OPTIONS));
    const wrong = create();
    wrong.peer.send(...frames, data(0, "x"));
    expect(wrong.peer.goAway).toBeUndefined();
    await turn();
    expect(wrong.peer.goAway).toMatchObject({ lastStreamId: 259, code: 1 });
    expect(wrong.socket.calls).toEqual(["close"]);
    const gone = create();
    gone.peer.send(...frames);
    gone.close();
    await turn();
    expect(gone.node.statuses).toEqual({ "200": 128 });
  });

  it("answers pings and settings", () => {
    const rig = create();
    rig.peer.send(frame(PING, 0, 0, "12345678"), frame(PING, ACK, 0, "87654321"));
    expect(rig.peer.of(PING)).toEqual([{ type: PING, flags: ACK, streamId: 0, payload: "12345678" }]);
    expect(rig.peer.of(SETTINGS).map(({ flags }) => flags)).toEqual([0, ACK]);
  });

  it("passes on the client's reset to the service, and a cut response to the client", () => {
    const rig = create();
    rig.peer.send(headers(1, GET_FIELDS), frame(RST_STREAM, 0, 1, uint32(8)));
    expect(rig.node.stream.calls).toEqual(["reset"]);
    rig.peer.send(headers(3, GET_FIELDS));
    rig.node.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    rig.node.stream.handler.onReset();
    const answer = rig.peer.answer(3);
    expect([answer.body, answer.ended, answer.reset]).toEqual(["abc", false, 2]);
    expect(rig.node.statuses).toEqual({ "200": 1, "499": 1 });
    expect(rig.socket.calls).toEqual([]);
  });

  it("ends a request that was answered before its end", () => {
    const rig = create();
    rig.peer.send(headers(1, POST_FIELDS, false), data(1, "abc"));
    rig.node.stream.deliver(OK);
    expect(rig.node.stream.calls).toEqual(["reset"]);
    const answer = rig.peer.answer(1);
    expect([answer.body, answer.ended, answer.reset]).toEqual(["ok", true, 0]);
    // Frames that were on their way are ignored.
    rig.peer.send(data(1, "def"), headers(1, [["x-late", "1"]]));
    expect(rig.peer.goAway).toBeUndefined();
    expect(rig.peer.of(RST_STREAM)).toHaveLength(1);
  });
});

describe("the client's windows", () => {
  const BODY = "b".repeat(50_000);

  it("hold back a body, and the agent that sends it, until there is room", () => {
    const rig = create({ settings2: [[INITIAL_WINDOW, 10_000]] });
    rig.peer.send(headers(1, GET_FIELDS));
    rig.node.stream.deliver(`HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n${BODY}`);
    expect(rig.peer.answer(1).body).toHaveLength(10_000);
    const { consumed } = rig.node.stream;
    expect(consumed).toBeLessThan(1_000);
    rig.peer.send(frame(WINDOW_UPDATE, 0, 1, uint32(20_000)));
    expect(rig.peer.answer(1).body).toHaveLength(30_000);
    expect(rig.node.stream.consumed).toBe(consumed);
    // The end follows the last byte.
    rig.peer.send(frame(SETTINGS, 0, 0, settings([INITIAL_WINDOW, 30_000])));
    const answer = rig.peer.answer(1);
    expect([answer.body, answer.ended]).toEqual([BODY, true]);
    expect(rig.node.statuses).toEqual({ "200": 1 });
    const sizes = rig.peer.of(DATA).map(({ payload }) => payload.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(16_384);
  });

  it("of the connection are shared by streams, one frame each in turn", () => {
    const rig = create({ settings2: [[INITIAL_WINDOW, 1_000_000]] });
    for (const id of [1, 3]) rig.peer.send(headers(id, GET_FIELDS));
    for (const stream of rig.node.tunnel.streams) {
      stream.deliver(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc350\r\n${BODY}\r\n`);
    }
    expect([1, 3].map((id) => rig.peer.answer(id).body.length)).toEqual([50_000, 15_535]);
    for (const stream of rig.node.tunnel.streams) stream.deliver(`c350\r\n${BODY}\r\n0\r\n\r\n`);
    const before = rig.peer.frames.length;
    rig.peer.send(frame(WINDOW_UPDATE, 0, 0, uint32(65_536)));
    rig.peer.answer(1);
    expect(rig.peer.frames.slice(before).map(({ streamId }) => streamId)).toEqual([3, 1, 3, 1]);
    rig.peer.send(frame(WINDOW_UPDATE, 0, 0, uint32(1_000_000)));
    for (const id of [1, 3]) expect(rig.peer.answer(id)).toMatchObject({ body: BODY + BODY, ended: true });
  });

  it("of one stream block no other stream", () => {
    const rig = create({ settings2: [[INITIAL_WINDOW, 0]] });
    rig.peer.send(headers(1, GET_FIELDS));
    rig.node.stream.deliver(OK);
    rig.peer.send(headers(3, GET_FIELDS));
    rig.node.stream.deliver(OK);
    rig.peer.send(frame(WINDOW_UPDATE, 0, 3, uint32(2)));
    expect([rig.peer.answer(1).body, rig.peer.answer(3).body]).toEqual(["", "ok"]);
  });

  it("that stay closed end the stream after the write timeout", () => {
    const rig = create({ settings2: [[INITIAL_WINDOW, 1]] });
    rig.peer.send(headers(1, GET_FIELDS), headers(3, GET_FIELDS));
    rig.node.tunnel.streams[0]?.deliver("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    rig.node.tunnel.streams[1]?.deliver(OK);
    for (let seconds = 0; seconds < 9; seconds++) rig.node.clock.advance(1_000);
    expect(rig.peer.of(RST_STREAM)).toEqual([]);
    for (let seconds = 0; seconds < 3; seconds++) rig.node.clock.advance(1_000);
    expect([rig.peer.answer(1).reset, rig.peer.answer(3).reset]).toEqual([8, 8]);
    expect(rig.node.hits).toEqual(["write_timeout", "write_timeout"]);
    expect(rig.node.tunnel.streams[0]?.calls).toEqual(["reset"]);
    expect(rig.socket.calls).toEqual([]);
  });

  it("that are closed while memory is short cut their streams, and no others", () => {
    const rig = create({ settings2: [[INITIAL_WINDOW, 0]], http2: { maxUnsentBytes: 100_000 } });
    rig.peer.send(headers(1, GET_FIELDS), headers(3, GET_FIELDS));
    for (const stream of rig.node.tunnel.streams) {
      stream.deliver(`HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n${BODY.slice(0, 40_000)}`);
    }
    expect([rig.peer.answer(1).reset, rig.peer.answer(3).reset]).toEqual([undefined, 11]);
    expect(rig.node.hits).toEqual(["http2_max_unsent_bytes"]);
    rig.peer.send(frame(WINDOW_UPDATE, 0, 1, uint32(50_000)));
    rig.node.tunnel.streams[0]?.deliver(BODY.slice(40_000));
    expect(rig.peer.answer(1)).toMatchObject({ body: BODY, ended: true });
  });

  it("don't matter while the socket is blocked; streams continue when it drains", () => {
    const rig = create({ settings2: [[INITIAL_WINDOW, 1_000_000]] });
    rig.peer.send(headers(1, GET_FIELDS));
    rig.socket.stalled = true;
    rig.peer.send(frame(PING, 0, 0, "12345678"));
    rig.socket.out.flush();
    rig.node.stream.deliver(`HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n${BODY}`);
    expect(rig.peer.answer(1).body).toBe("");
    rig.socket.drain();
    expect(rig.peer.answer(1)).toMatchObject({ body: BODY, ended: true });
  });
});
