// A connection to the upstream port until it is a tunnel: how each request is answered, and what happens to connections that
// don't complete theirs.

import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../test/port-peer.js";
import { UpstreamRig, type UpstreamRigOptions, upgradeRequest } from "../../../test/upstream-rig.js";

let rig: UpstreamRig | undefined;
afterEach(async () => {
  const last = rig;
  rig = undefined;
  await last?.[Symbol.asyncDispose]();
  expect(last?.budget.used ?? 0).toBe(0);
  last?.clock.assertIdle();
});

async function start(options?: UpstreamRigOptions): Promise<UpstreamRig> {
  rig = await UpstreamRig.start(options);
  return rig;
}

const GOOD = upgradeRequest();
const statusOf = (answer: string): string => answer.slice(9, 12);

describe("a request", () => {
  it.each<[title: string, request: string, status: string, more: string]>([
    ["with another method", GOOD.replace("GET", "POST"), "404", "not found"],
    ["for another path", GOOD.replace("upstream/e", "other/e"), "404", "not found"],
    ["for a path below", GOOD.replace("upstream/e", "upstream/e/f"), "404", "not found"],
    ["without an id", GOOD.replace("upstream/e", "upstream/"), "404", "not found"],
    ["for an invalid id", GOOD.replace("upstream/e", "upstream/%ff"), "400", "invalid endpoint id"],
    ["for an id with a slash", GOOD.replace("upstream/e", "upstream/a%2fb"), "400", "invalid endpoint id"],
    [
      "for an id that is too long",
      GOOD.replace("upstream/e", `upstream/${"x".repeat(256)}`),
      "400",
      "1 to 255 bytes",
    ],
    ["without an upgrade", GOOD.replace("Connection: upgrade\r\n", ""), "400", "websocket upgrade required"],
    [
      "for another protocol",
      GOOD.replace("Upgrade: websocket", "Upgrade: h2c"),
      "400",
      "websocket upgrade required",
    ],
    [
      "for another version",
      GOOD.replace("Version: 13", "Version: 8"),
      "400",
      "Sec-WebSocket-Version: 13\r\n",
    ],
    ["without a key", GOOD.replace(/Sec-WebSocket-Key: .*\r\n/, ""), "400", "invalid websocket handshake"],
    ["with an invalid key", GOOD.replace("dGhl", ""), "400", "invalid websocket handshake"],
    ["with a body", upgradeRequest("e", "Content-Length: 1\r\n"), "400", "invalid websocket handshake"],
    [
      "with a body in chunks",
      upgradeRequest("e", "Transfer-Encoding: chunked\r\n"),
      "400",
      "invalid websocket handshake",
    ],
    ["from a foreign web page", upgradeRequest("e", "Origin: http://evil.test\r\n"), "403", "foreign origin"],
    ["that isn't HTTP", "nonsense\r\n\r\n", "400", ""],
    ["with an invalid field", "GET / HTTP/1.1\r\nbad name: x\r\n\r\n", "400", ""],
    ["that is a TLS handshake", "\x16\x03\x01\x02\x00\x01", "400", "tls to a port without it"],
    ["that more bytes can't make valid", "GET / HTTP/1.1\rX", "400", ""],
    ["after too many empty lines", "\r\n".repeat(6), "400", ""],
    ["with two lengths", upgradeRequest("e", "Content-Length: 1\r\nContent-Length: 2\r\n"), "400", ""],
    ["that doesn't end", `GET / HTTP/1.1\r\nX: ${"x".repeat(70_000)}`, "431", ""],
  ])("%s is refused, with one line in the log", async (_title, request, status, more) => {
    const rig = await start();
    const answer = await rig.refusal(request);
    expect(statusOf(answer)).toBe(status);
    expect(answer).toContain(more);
    expect(answer).toMatch(/\r\nConnection: close\r\n/i);
    const line = await rig.log.line("upstream refused");
    expect(line).toMatchObject({ "client-ip": "127.0.0.1", status: Number(status) });
    expect(rig.log.lines).toHaveLength(1);
    await eventually(() => rig.port.pendingCount === 0 && rig.port.highestClientCount === 0);
    expect(rig.announced).toEqual([]);
  });

  it.each<[string, UpstreamRigOptions, string]>([
    ["max_tunnels", { limits: { maxTunnels: 1 } }, "other"],
    ["max_tunnels_per_endpoint", { limits: { maxTunnelsPerEndpoint: 1 } }, "e"],
  ])("beyond %s is refused, and may be retried", async (limit, options, endpoint) => {
    const rig = await start(options);
    await rig.agent();
    const answer = await rig.refusal(upgradeRequest(endpoint));
    expect(statusOf(answer)).toBe("503");
    expect(answer).toContain(`too many tunnels (${limit})`);
    expect(answer).toContain("Retry-After: 1\r\n");
    expect(rig.hits).toEqual([limit]);
  });

  it("to a stopping node is refused, and may be retried elsewhere", async () => {
    const rig = await start();
    const peer = await rig.connect();
    rig.port.stopping = true;
    const answer = await peer.send(GOOD).over();
    expect(statusOf(answer)).toBe("503");
    expect(answer).toContain("node is stopping");
    expect(answer).toContain("Retry-After: 1\r\n");
  });

  it("in parts is refused when memory is short, unless it is small", async () => {
    const rig = await start({ maxBytes: 100 });
    const small = (await rig.connect()).send(GOOD.slice(0, -2));
    await eventually(() => rig.budget.used > 100);
    const answer = await rig.refusal(`${GOOD.slice(0, -2)}X: ${"x".repeat(5_000)}`);
    expect(statusOf(answer)).toBe("503");
    expect(answer).toContain("server is busy");
    expect(statusOf((await small.send("\r\n").until(({ text }) => text !== "")).text)).toBe("101");
  });
});

describe("a valid request", () => {
  it("becomes a tunnel, even if it arrives byte by byte", async () => {
    const rig = await start();
    const peer = await rig.connect();
    for (const byte of GOOD) {
      const { used } = rig.budget;
      peer.send(byte);
      // So that nearly every byte is read by itself.
      if (used === 0) await eventually(() => rig.budget.used > 0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await peer.until(({ text }) => text.includes("\r\n\r\n"));
    expect(statusOf(peer.text)).toBe("101");
    expect(rig.tunnel.endpointId).toBe("e");
  });

  it.each([
    ["of one of our agents is answered with the node's name", "x-piko-capabilities: a, Drain \r\n", true],
    ["of a Go agent is answered as Go Piko does", "", false],
  ])("%s", async (_title, fields, ours) => {
    const rig = await start();
    const { text } = await rig.rawAgent(upgradeRequest("e", fields));
    expect(text).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    expect(text.includes("x-piko-node-id: n1\r\nx-piko-capabilities: drain\r\n")).toBe(ours);
    expect(/x-piko/i.test(text)).toBe(ours);
    expect(rig.tunnel.drainable).toBe(ours);
  });

  it("may name its program, if the name is short and visible", async () => {
    const rig = await start();
    for (const [sent, shown] of [
      ["piko/1.2.3", "piko/1.2.3"],
      ["two words", ""],
      ["x".repeat(65), ""],
    ] as const) {
      await rig.rawAgent(upgradeRequest("e", `User-Agent: ${sent}\r\n`));
      expect(rig.tunnels.at(-1)?.userAgent).toBe(shown);
    }
  });

  it("may percent-encode its endpoint", async () => {
    const rig = await start();
    await rig.rawAgent(upgradeRequest("caf%C3%A9%20x?forward=y"));
    expect(rig.tunnel.endpointId).toBe("café x");
  });

  it("may come from a page of the same origin", async () => {
    const rig = await start();
    await rig.rawAgent(upgradeRequest("e", "Origin: http://node\r\n"));
    expect(rig.tunnels).toHaveLength(1);
  });

  it("may be followed at once by the tunnel's first bytes", async () => {
    const rig = await start();
    // A GoAway in a message whose mask is zero.
    const goAway = "\u0082\u008c\0\0\0\0\0\u0003\0\0\0\0\0\0\0\0\0\0";
    await rig.rawAgent(GOOD + goAway);
    expect(rig.tunnel.state).toBe("draining");
    expect(rig.announced).toEqual(["e 1", "e 0"]);
  });
});

describe("a connection without a request", () => {
  it("is closed after a timeout, without a response if it has sent nothing", async () => {
    const rig = await start({ limits: { readHeaderTimeoutMs: 1_000 } });
    const silent = await rig.connect();
    const slow = (await rig.connect()).send(GOOD.slice(0, 20));
    await eventually(() => rig.port.pendingCount === 2 && rig.budget.used > 0);
    rig.clock.advance(999);
    expect([silent.end, slow.end]).toEqual([undefined, undefined]);
    rig.clock.advance(250);
    expect(await silent.over()).toBe("");
    expect(statusOf(await slow.over())).toBe("408");
    expect(rig.hits).toEqual(["read_header_timeout", "read_header_timeout"]);
    await eventually(() => rig.port.pendingCount === 0);
  });

  it("may take any time if the timeout is disabled", async () => {
    const rig = await start({ limits: { readHeaderTimeoutMs: 0 } });
    const peer = (await rig.connect()).send(GOOD.slice(0, 20));
    await eventually(() => rig.budget.used > 0);
    rig.clock.advance(1_000_000);
    await peer.send(GOOD.slice(20)).until(({ text }) => text.includes("\r\n\r\n"));
    expect(rig.tunnels).toHaveLength(1);
  });

  it("leaves nothing when it ends, normally or by a reset", async () => {
    const rig = await start();
    const ended = (await rig.connect()).send("GET ");
    const reset = (await rig.connect()).send("GET ");
    await eventually(() => rig.port.pendingCount === 2 && rig.budget.used > 0);
    ended.socket.end();
    reset.socket.resetAndDestroy();
    await eventually(() => rig.port.pendingCount === 0);
    expect([rig.budget.used, rig.port.highestClientCount]).toEqual([0, 0]);
    expect(rig.log.lines).toEqual([]);
  });

  it("is closed when the node stops", async () => {
    const rig = await start();
    const peer = (await rig.connect()).send("GET ");
    await eventually(() => rig.budget.used > 0);
    rig.port.stopAccepting();
    expect(await peer.over()).toBe("");
    expect(peer.end).toBe("end");
  });
});
