// A listener with a service that speaks HTTP/2 by prior knowledge (`node:http2`): how a node's requests reach the service,
// and how its responses come back.

import { once } from "node:events";
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { afterEach, describe, expect, it } from "vitest";
import { type AgentRig, type AgentRigOptions, Fixtures } from "../../test/agent-rig.js";
import { H2Service } from "../../test/h2-services.js";

const fixtures = new Fixtures();

afterEach(() => fixtures.dispose());

const start = (...rest: Parameters<typeof H2Service.start> extends [unknown, ...infer R] ? R : never) =>
  H2Service.start(fixtures, ...rest);

function rigOf(service: H2Service, more: Partial<AgentRigOptions> = {}): Promise<AgentRig> {
  return fixtures.rig({ service: service.port, protocol: "h2c", ...more });
}

const GET = "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n";
const CHUNKED = "POST / HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n";

describe("a request", () => {
  const seenOf = async (text: string, more: Partial<AgentRigOptions> = {}) => {
    const seen: { headers: IncomingHttpHeaders; body: string; trailers: object } = {
      headers: {},
      body: "",
      trailers: {},
    };
    const service = await start((stream, headers) => {
      seen.headers = { ...headers };
      stream.on("trailers", (trailers) => (seen.trailers = { ...trailers }));
      stream.on("data", (data: Buffer) => (seen.body += data.toString("latin1")));
      stream.on("end", () => {
        stream.respond({ ":status": 200, "content-length": "0" });
        stream.end();
      });
      stream.resume();
    });
    const rig = await rigOf(service, { ...more, service: more.service ?? service.port });
    expect((await rig.request(text)).text).toContain("200");
    return seen;
  };

  it("reaches the service with its fields, except those of the connection", async () => {
    const { headers } = await seenOf(
      "GET /a?b=1 HTTP/1.1\r\nHost: h.test\r\nX-Mixed: Case\r\nConnection: close, x-named\r\nX-Named: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nx-piko-forward: true\r\nUpgrade: websocket\r\nCookie: a=1; b=2\r\n\r\n",
    );
    expect(Object.entries(headers)).toEqual([
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/a?b=1"],
      [":authority", "h.test"],
      ["x-mixed", "Case"],
      ["cookie", "a=1; b=2"],
      ["te", "trailers"],
    ]);
  });

  it.each([
    ["Content-Length: 4\r\n\r\nbody", "body", []],
    ["Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\nx-t: 1\r\n\r\n", "body", [["x-t", "1"]]],
    ["Content-Length: 0\r\n\r\n", "", []],
  ])("has its body and its trailers: %j", async (rest, body, trailers) => {
    const seen = await seenOf(`POST / HTTP/1.1\r\nHost: h.test\r\n${rest}`);
    expect(seen.body).toBe(body);
    expect(Object.entries(seen.trailers)).toEqual(trailers);
    expect(seen.headers["transfer-encoding"]).toBeUndefined();
  });

  it("is sent to the path of the service's URL, with its Host", async () => {
    let seen: IncomingHttpHeaders = {};
    const service = await start((stream, headers) => {
      seen = headers;
      stream.respond({ ":status": 204 });
      stream.end();
    });
    const url = `http://127.0.0.1:${service.port}/base/?k=v`;
    const rig = await rigOf(service, { service: url, hostHeader: "rewrite" });
    await rig.request("GET /x?y HTTP/1.1\r\nHost: h.test\r\n\r\n");
    expect(seen[":path"]).toBe("/base/x?k=v&y");
    expect(seen[":authority"]).toBe(`127.0.0.1:${service.port}`);
    await rig.request("OPTIONS * HTTP/1.1\r\nHost: h.test\r\n\r\n");
    expect(seen[":path"]).toBe("*");
  });
});

describe("a response", () => {
  const answerTo = async (text: string, onStream: (stream: ServerHttp2Stream) => void) => {
    const rig = await rigOf(await start(onStream));
    return (await rig.request(text)).text.replace(/date: [^\r]+\r\n/, "");
  };

  it("has its length, or is chunked", async () => {
    const withLength = await answerTo(GET, (stream) => {
      stream.respond({ ":status": 200, "content-length": "2" });
      stream.end("ok");
    });
    expect(withLength).toBe("HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok");
    const without = await answerTo(GET, (stream) => {
      stream.respond({ ":status": 418, "x-a": "1" });
      stream.end("ok");
    });
    expect(without).toMatch(
      /^HTTP\/1\.1 418 \r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n$/i,
    );
  });

  it("has its trailers, and stays a head alone if it is one", async () => {
    const trailers = await answerTo(CHUNKED + "0\r\n\r\n", (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", connection_: "x" }));
      stream.end("data");
    });
    expect(trailers).toMatch(/\r\n4\r\ndata\r\n0\r\ngrpc-status: 0\r\nconnection_: x\r\n\r\n$/);
    const headOnly = await answerTo(CHUNKED, (stream) => {
      stream.respond({ ":status": 200, "grpc-status": "5" }, { endStream: true });
    });
    expect(headOnly).toBe(
      "HTTP/1.1 200 \r\ngrpc-status: 5\r\ncontent-length: 0\r\nConnection: close\r\n\r\n",
    );
  });

  it("may follow interim ones", async () => {
    const text = await answerTo(GET, (stream) => {
      stream.additionalHeaders({ ":status": 103, link: "</a>" });
      stream.respond({ ":status": 200, "content-length": "0" });
      stream.end();
    });
    expect(text).toBe("HTTP/1.1 103 \r\nlink: </a>\r\n\r\nHTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n");
  });

  it.each([
    ["HEAD", { ":status": 200, "content-length": "5" }, "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n"],
    ["HEAD", { ":status": 200 }, "HTTP/1.1 200 \r\n\r\n"],
    ["GET", { ":status": 204 }, "HTTP/1.1 204 \r\n\r\n"],
    ["GET", { ":status": 304, etag: "a" }, "HTTP/1.1 304 \r\netag: a\r\n\r\n"],
  ])("has no body because of its method or status: %s %j", async (method, head, text) => {
    const answer = await answerTo(GET.replace("GET", method), (stream) => {
      stream.respond(head);
      stream.end();
    });
    expect(answer).toBe(text);
  });
});

it("bytes pass in both directions at the same time", async () => {
  const service = await start((stream) => {
    stream.respond({ ":status": 200 });
    stream.on("data", (data: Buffer) => stream.write(`<${data.toString()}>`));
    stream.on("end", () => stream.end());
  });
  const stream = (await rigOf(service)).open().write(CHUNKED);
  for (const text of ["one", "two", "three"]) {
    stream.write(`${text.length.toString(16)}\r\n${text}\r\n`);
    await stream.until((node) => node.text.includes(`<${text}>`));
  }
  await stream.write("0\r\n\r\n").over();
  expect(stream.text).toMatch(/\r\n0\r\n\r\n$/);
});

describe("cancelling", () => {
  it("a client that disconnects only ends its own request", async () => {
    const codes: number[] = [];
    let streams = 0;
    const service = await start((stream) => {
      streams++;
      stream.on("close", () => codes.push(stream.rstCode));
      stream.respond({ ":status": 200 });
      stream.write("begun");
      stream.on("data", (data: Buffer) => stream.end(data));
    });
    const rig = await rigOf(service);
    const gone = rig.open().write(GET);
    const other = rig.open().write(CHUNKED);
    await gone.until(({ text }) => text.includes("begun"));
    await other.until(({ text }) => text.includes("begun"));
    gone.stream?.reset();
    while (codes.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(codes).toEqual([constants.NGHTTP2_CANCEL]);
    await other.write("2\r\nab\r\n0\r\n\r\n").over();
    expect(other.text).toContain("ab");
    expect([streams, service.sessions.length]).toEqual([2, 1]);
    expect(rig.metrics.inFlight).toBe(0);
  });

  it("a response before the request's end is passed on, and the rest of the request isn't wanted", async () => {
    const codes: number[] = [];
    const service = await start((stream) => {
      stream.on("close", () => codes.push(stream.rstCode));
      stream.respond({ ":status": 413, "content-length": "0" }, { endStream: true });
    });
    const rig = await rigOf(service);
    const answer = await rig.open().write(`${CHUNKED}2\r\nab\r\n`).over();
    expect(answer.text).toContain("413");
    while (codes.length === 0) await new Promise((resolve) => setImmediate(resolve));
  });
});

describe("windows", () => {
  const MIB = 1024 * 1024;

  it("a client that reads nothing only stops its own response", async () => {
    let sent = 0;
    const service = await start((stream, headers) => {
      stream.respond({ ":status": 200 });
      if (headers[":path"] !== "/endless") return void stream.end("x".repeat(MIB));
      const more = (): void => {
        do sent += 65_536;
        while (stream.write(Buffer.alloc(65_536)));
        stream.once("drain", more);
      };
      more();
    });
    const rig = await rigOf(service);
    const stalled = rig.open();
    stalled.reading = false;
    stalled.write(GET.replace("/", "/endless"));
    await stalled.until(({ bytes }) => bytes > 0);
    for (let i = 0; i < 5; i++) {
      const other = await rig.request(GET);
      expect(other.bytes).toBeGreaterThan(MIB);
    }
    // The windows of the tunnel and the stream, and the buffers of the service's socket and stream.
    expect(sent).toBeLessThan(2 * MIB);
    expect(service.sessions).toHaveLength(1);
    const before = stalled.bytes;
    stalled.resume();
    stalled.reading = true;
    await stalled.until(({ bytes }) => bytes > before + 4 * MIB);
    stalled.stream?.reset();
  });

  it("a service that reads nothing only stops its own client", async () => {
    const service = await start((stream, headers) => {
      stream.respond({ ":status": 200 });
      if (headers[":path"] === "/stuck") {
        stream.pause();
        return;
      }
      stream.resume();
      stream.on("end", () => stream.end("all"));
    });
    const rig = await rigOf(service);
    const stuck = rig.open().write(CHUNKED.replace("/", "/stuck"));
    const piece = `10000\r\n${"x".repeat(65_536)}\r\n`;
    for (let i = 0; i < 64; i++) stuck.write(piece);
    const other = rig.open().write(CHUNKED);
    for (let i = 0; i < 64; i++) other.write(piece);
    await other.write("0\r\n\r\n").over();
    expect(other.text).toContain("all");
    expect(stuck.queuedBytes).toBeGreaterThan(2 * MIB);
    stuck.stream?.reset();
  });
});

describe("connections", () => {
  it("a few carry many requests, and are kept for later ones", async () => {
    const waiting: ServerHttp2Stream[] = [];
    const service = await start((stream) => void waiting.push(stream));
    const rig = await rigOf(service);
    const streams = Array.from({ length: 150 }, () => rig.open().write(GET));
    while (waiting.length < 150) await new Promise((resolve) => setImmediate(resolve));
    expect(service.sessions).toHaveLength(2);
    for (const stream of waiting.splice(0)) {
      stream.respond({ ":status": 200, "content-length": "0" });
      stream.end();
    }
    for (const stream of streams) expect((await stream.over()).text).toContain("200");
    const again = rig.open().write(GET);
    while (waiting.length < 1) await new Promise((resolve) => setImmediate(resolve));
    expect(service.sessions).toHaveLength(2);
    waiting[0]?.respond({ ":status": 204 });
    waiting[0]?.end();
    await again.over();
  });

  it("carry as many concurrent requests as the service allows", async () => {
    const waiting: ServerHttp2Stream[] = [];
    const service = await start((stream) => void waiting.push(stream), { maxConcurrentStreams: 2 });
    const rig = await rigOf(service);
    const first = rig.open().write(GET);
    while (waiting.length < 1) await new Promise((resolve) => setImmediate(resolve));
    const others = [rig.open().write(GET), rig.open().write(GET)];
    while (waiting.length < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(service.sessions).toHaveLength(2);
    for (const stream of waiting) {
      stream.respond({ ":status": 204 });
      stream.end();
    }
    for (const stream of [first, ...others]) await stream.over();
  });

  it("that get a GOAWAY finish their requests, and later requests use another one", async () => {
    const waiting: ServerHttp2Stream[] = [];
    const service = await start((stream) => void waiting.push(stream));
    const rig = await rigOf(service);
    const first = rig.open().write(GET);
    while (waiting.length < 1) await new Promise((resolve) => setImmediate(resolve));
    const session = service.sessions[0];
    session?.goaway(0, 1);
    // Sent after the GOAWAY, so its answer shows that the agent has read that.
    await new Promise((resolve) => session?.ping(resolve));
    const second = rig.open().write(GET);
    while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(service.sessions).toHaveLength(2);
    for (const stream of waiting) {
      stream.respond({ ":status": 200, "content-length": "4" });
      stream.end("done");
    }
    expect((await first.over()).text).toContain("done");
    expect((await second.over()).text).toContain("done");
  });

  it("are closed when they are idle", async () => {
    const service = await start((stream) => {
      stream.respond({ ":status": 204 });
      stream.end();
    });
    const rig = await rigOf(service, { idleTimeoutMs: 1 });
    await rig.request(GET);
    await once(service.sessions[0] as object as NodeJS.EventEmitter, "close");
    expect((await rig.request(GET)).text).toContain("204");
    expect(service.sessions).toHaveLength(2);
  });
});
