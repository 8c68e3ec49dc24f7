// The proxy port, on loopback: which clients it accepts, under which address, and how it ends.

import { connect } from "node:http2";
import { describe, expect, it } from "vitest";
import { OpenFiles } from "../../net/accept/open-files.js";
import { MAX_REFUSED } from "../../net/accept/refused-connection.js";
import { PREFACE } from "../../../test/h2-peer.js";
import { GET, statusOf } from "../../../test/node-rigs.js";
import { eventually, type PortPeer } from "../../../test/port-peer.js";
import { STOP_IDLE_MS } from "./h1-client.js";
import { OK, type ProxyRigOptions, proxyRigs } from "../../../test/proxy-rig.js";

const HEAD = GET.replace("GET", "HEAD");

const start = proxyRigs();

it("serves clients, each under its own address", async () => {
  const rig = await start();
  const peer = await rig.client("127.0.0.9");
  expect(await rig.exchange(peer)).toContain("X-Forwarded-For: 127.0.0.9\r\n");
  expect([rig.port.connectionCount, rig.port.highestClientCount]).toEqual([1, 1]);
  peer.socket.end();
  await eventually(() => rig.port.connectionCount === 0);
});

describe("connections above a limit", () => {
  it.each<[string, ProxyRigOptions, string]>([
    ["max_connections", { limits: { maxConnections: 1 } }, "503"],
    ["max_connections_per_client", { limits: { maxConnectionsPerClient: 1 } }, "429"],
  ])("%s are refused when they send a request", async (limit, options, status) => {
    const rig = await start(options);
    const first = await rig.client();
    for (const [index, request] of [GET, HEAD].entries()) {
      const peer = await rig.connect();
      await eventually(() => rig.node.hits.length > index);
      expect(peer.text).toBe("");
      const answer = await peer.send(request).over();
      expect(statusOf(answer)).toBe(status);
      expect(answer).toContain("Retry-After: 1\r\n");
      expect(answer.endsWith("\r\n\r\n")).toBe(request === HEAD);
    }
    expect(rig.node.hits).toEqual([limit, limit]);
    await rig.exchange(first);
    first.socket.end();
    await eventually(() => rig.port.connectionCount === 0);
    await rig.exchange(await rig.client());
  });

  it("are refused in HTTP/2 if they begin with its preface and HTTP/2 is on", async () => {
    const rig = await start({ limits: { maxConnections: 0 } });
    const session = connect(`http://127.0.0.1:${rig.number}`).on("error", () => {});
    const closed = new Promise((resolve) => session.on("close", resolve));
    const received = await new Promise((resolve) => {
      session.on("goaway", (code, lastStreamId, words) => resolve([code, lastStreamId, String(words)]));
    });
    // ENHANCE_YOUR_CALM, and no stream was processed.
    expect(received).toEqual([11, 0, "too many connections"]);
    await closed;
    expect(rig.node.hits).toEqual(["max_connections"]);
    const plain = await start({ http2: false, limits: { maxConnections: 0 } });
    expect(statusOf(await (await plain.connect()).send(PREFACE).over())).toBe("503");
  });

  it("are closed soon if they send nothing, and may disconnect before", async () => {
    const rig = await start({ limits: { maxConnections: 0 } });
    const silent = await rig.connect();
    const short = await rig.connect();
    await eventually(() => rig.node.hits.length === 2);
    short.socket.end();
    expect(await short.over()).toBe("");
    rig.node.clock.advance(1_500);
    expect(silent.end).toBeUndefined();
    rig.node.clock.advance(750);
    expect(await silent.over()).toBe("");
  });

  it("are refused with a response up to MAX_REFUSED at a time; further ones are just closed", async () => {
    const rig = await start({ limits: { maxConnections: 0 } });
    const refused: PortPeer[] = [];
    while (refused.length < MAX_REFUSED) refused.push(await rig.connect());
    await eventually(() => rig.node.hits.length === MAX_REFUSED);
    expect(await (await rig.connect()).over()).toBe("");
    // A place becomes free as soon as the port has noticed the close.
    expect(statusOf((await refused[0]?.send(GET).over()) ?? "")).toBe("503");
    refused[0]?.socket.destroy();
    let answer = "";
    while (answer === "") answer = await (await rig.connect()).send(GET).over();
    expect(statusOf(answer)).toBe("503");
  });

  it("don't affect other clients", async () => {
    const rig = await start({ limits: { maxConnectionsPerClient: 1 } });
    await rig.client();
    await rig.client("127.0.0.2");
    expect([rig.port.connectionCount, rig.port.highestClientCount]).toEqual([2, 1]);
  });

  it.each<[string, ProxyRigOptions]>([
    ["trusted proxies", { trustedProxies: ["127.0.0.1"] }],
    ["nodes", { nodes: ["192.0.2.1:8000", "127.0.0.1:8000"] }],
  ])("don't exist for %s, which carry many clients", async (_title, options) => {
    const rig = await start({ ...options, limits: { maxConnectionsPerClient: 1 } });
    for (let i = 0; i < 3; i++) await rig.exchange(await rig.client());
    expect([rig.port.connectionCount, rig.port.highestClientCount]).toEqual([3, 0]);
  });

  it("are refused when the process is short of file descriptors, and closed when it is out of them", async () => {
    for (const [limit, status] of [
      // The descriptor of an accepted socket is above the first limit, and within the reserve of the second.
      [0, ""],
      [64, "503"],
    ] as const) {
      const rig = await start({ dependencies: { files: new OpenFiles(limit) } });
      const answer = await (await rig.connect()).send(GET).over();
      expect(statusOf(answer)).toBe(status);
      expect(rig.node.hits).toEqual(["open_files"]);
    }
  });
});

describe("another node at the address of clients that use up its connections", () => {
  const SECRET = "c2VjcmV0LXNlY3JldC1zZW";
  const HOP = GET.replace("\r\n\r\n", `\r\nx-piko-forward: true\r\nx-piko-hop: ${SECRET}\r\n\r\n`);
  const cluster = {
    hopSecret: Buffer.from(SECRET),
    table: { nodes: () => [], get: () => undefined },
    has: () => false,
  };
  const options = {
    limits: { maxConnectionsPerClient: 1 },
    dependencies: { cluster },
  } as unknown as ProxyRigOptions;

  it("is served for its secret, repeatedly, and isn't counted as a client", async () => {
    const rig = await start(options);
    const first = await rig.client();
    await rig.exchange(first);
    const node = await rig.client();
    for (const _ of [1, 2]) expect(await rig.exchange(node, HOP)).not.toContain(SECRET);
    for (const request of [GET, HOP.replace(SECRET, "x".repeat(SECRET.length)), HEAD]) {
      const answer = await (await rig.client()).send(request).over();
      expect(statusOf(answer)).toBe("429");
      expect(answer).toMatch(/\r\nconnection: close\r\n/i);
    }
    expect(rig.node.hits).toEqual(Array.from({ length: 3 }, () => "max_connections_per_client"));
    expect(rig.port.highestClientCount).toBe(1);
    // The connection stays accepted as a node's.
    await rig.exchange(node, HOP);
    first.socket.end();
    await eventually(() => rig.port.connectionCount === 1);
    await rig.exchange(await rig.client());
  });

  it("isn't counted as a client any more once it has sent the secret", async () => {
    const rig = await start(options);
    const node = await rig.client();
    expect(rig.port.highestClientCount).toBe(1);
    await rig.exchange(node, HOP);
    expect(rig.port.highestClientCount).toBe(0);
    // So a client can connect.
    await rig.exchange(await rig.client());
  });

  it("needs no PROXY header, while requests of clients without one are refused", async () => {
    const nodes = { table: { ...cluster.table, nodes: () => [{ proxyAddr: "127.0.0.1:8000" }] } };
    const rig = await start({
      proxyProtocol: "required",
      dependencies: { cluster: { ...cluster, ...nodes } as never },
    });
    const peer = (await rig.connect()).send(GET);
    await peer.until(({ text }) => text.endsWith("}\n"));
    expect(statusOf(peer.text)).toBe("400");
    expect(peer.text).toContain("proxy protocol header required");
    expect(rig.node.asked).toBe(0);
    await rig.exchange(await rig.connect(), HOP);
  });

  it("gets in besides a thousand silent connections", async () => {
    const rig = await start(options);
    await rig.exchange(await rig.client());
    const silent = await Promise.all(Array.from({ length: 1_024 }, () => rig.connect()));
    await eventually(() => rig.port.connectionCount === 1_025);
    const node = await rig.connect();
    await rig.exchange(node, HOP);
    expect(rig.port.connectionCount).toBe(1_025);
    expect(silent.filter(({ end }) => end !== undefined)).toHaveLength(1);
  });
});

describe("a PROXY protocol header", () => {
  const HEADER = "PROXY TCP4 203.0.113.7 127.0.0.1 5000 8000\r\n";

  it.each<[string, ProxyRigOptions, string, string]>([
    ["names the client", { proxyProtocol: "required" }, HEADER, "203.0.113.7"],
    ["names the client where it is optional", { proxyProtocol: "optional" }, HEADER, "203.0.113.7"],
    ["may be absent where it is optional", { proxyProtocol: "optional" }, "", "127.0.0.1"],
    [
      "of a health check names no other client",
      { proxyProtocol: "required" },
      "PROXY UNKNOWN\r\n",
      "127.0.0.1",
    ],
    [
      "of a trusted sender is read",
      { proxyProtocol: "required", trustedProxies: ["127.0.0.1"] },
      HEADER,
      "203.0.113.7",
    ],
    ["isn't required from nodes", { proxyProtocol: "required", nodes: ["127.0.0.1:8000"] }, "", "127.0.0.1"],
    [
      "isn't required from nodes that aren't trusted proxies",
      { proxyProtocol: "required", nodes: ["127.0.0.1:8000"], trustedProxies: ["192.0.2.1"] },
      "",
      "127.0.0.1",
    ],
    [
      "may be absent where senders aren't trusted",
      { proxyProtocol: "optional", trustedProxies: ["192.0.2.1"] },
      "",
      "127.0.0.1",
    ],
  ])("%s", async (_title, options, header, address) => {
    const rig = await start(options);
    const peer = await rig.client();
    // Split: part of it comes before the request, part of it with the request's first bytes.
    if (header !== "") peer.send(header.slice(0, 9));
    await new Promise((resolve) => setImmediate(resolve));
    const written = await rig.exchange(peer, header.slice(9) + GET);
    expect(written).toContain(`X-Forwarded-For: ${address}\r\n`);
    expect(rig.port.connectionCount).toBe(1);
  });

  it.each<[string, ProxyRigOptions, string, string[]]>([
    ["that is required but absent", { proxyProtocol: "required" }, GET, ["proxy_protocol"]],
    ["that is invalid", { proxyProtocol: "optional" }, "PROXY TCP4 x\r\n", ["proxy_protocol"]],
    [
      "that is required, from a sender that isn't trusted,",
      { proxyProtocol: "required", trustedProxies: ["192.0.2.1"] },
      "",
      ["proxy_protocol"],
    ],
  ])("%s ends the connection without a response", async (_title, options, text, hits) => {
    const rig = await start(options);
    const peer = await rig.connect();
    if (text !== "") peer.send(text);
    expect(await peer.over()).toBe("");
    expect(rig.node.hits).toEqual(hits);
    expect(rig.node.asked).toBe(0);
  });

  it("isn't read if only trusted proxies may send it", async () => {
    const rig = await start({ proxyProtocol: "optional", trustedProxies: ["192.0.2.1"] });
    const answer = await (await rig.client()).send(HEADER + GET).over();
    expect(statusOf(answer)).toBe("400");
    expect(rig.node.asked).toBe(0);
  });

  it("must arrive in time", async () => {
    const rig = await start({ proxyProtocol: "required", http: { readHeaderTimeoutMs: 1_000 } });
    const peer = (await rig.client()).send("PROXY ");
    await eventually(() => rig.node.budget.used > 0);
    rig.node.clock.advance(1_000);
    expect(await peer.over()).toBe("");
    expect(rig.node.hits).toEqual(["read_header_timeout"]);
  });

  it("sets the address whose connections are limited", async () => {
    const rig = await start({ proxyProtocol: "required", limits: { maxConnectionsPerClient: 1 } });
    await rig.exchange(await rig.client(), HEADER + GET);
    const answer = await (await rig.client()).send(HEADER + GET).over();
    expect(statusOf(answer)).toBe("429");
    await rig.exchange(await rig.client(), HEADER.replace("203.0.113.7", "203.0.113.8") + GET);
  });
});

describe("a draining port", () => {
  it("ends idle and refused connections, and waits for requests in progress", async () => {
    const rig = await start({ proxyProtocol: "optional", limits: { maxConnections: 3 } });
    const busy = (await rig.client()).send(GET);
    await eventually(() => rig.node.asked === 1);
    const idle = await rig.client();
    await rig.exchange(idle);
    rig.node.clock.advance(STOP_IDLE_MS);
    const early = (await rig.client()).send("PROXY ");
    const refused = await rig.connect();
    await eventually(() => rig.node.hits.length === 1);
    let drained = false;
    const done = rig.port.drain().then(() => (drained = true));
    for (const peer of [idle, early, refused]) expect(await peer.over()).not.toContain("503");
    await expect(rig.connect()).rejects.toThrow(/ECONNREFUSED/);
    expect(drained).toBe(false);
    rig.node.tunnel.streams[0]?.deliver(OK);
    expect(await busy.over()).toMatch(/connection: close\r\n.*ok$/is);
    await done;
  });

  it("answers requests that had arrived before", async () => {
    const rig = await start();
    const idle = await rig.client();
    await rig.exchange(idle);
    const asked = rig.node.asked;
    // Still unread when the port begins to drain, as when the process was short of CPU.
    const kept = idle.send(GET);
    const fresh = (await rig.connect()).send(GET);
    const done = rig.port.drain();
    await eventually(() => rig.node.asked === asked + 2);
    for (const stream of rig.node.tunnel.streams.slice(-2)) stream.deliver(OK);
    for (const peer of [kept, fresh]) expect(await peer.over()).toMatch(/connection: close\r\n.*ok$/is);
    await done;
  });

  it("finishes at once without connections", async () => {
    const rig = await start();
    await rig.port.drain();
  });

  it("asks clients to open new connections elsewhere before it drains", async () => {
    const rig = await start();
    rig.port.closeAfterResponses();
    const peer = await rig.client();
    await rig.exchange(peer);
    expect(peer.text).toMatch(/\r\nconnection: close\r\n/i);
  });
});

it("a port that is destroyed resets all connections", async () => {
  const rig = await start({ proxyProtocol: "optional", limits: { maxConnections: 2 } });
  const peer = (await rig.client()).send(GET);
  await eventually(() => rig.node.asked === 1);
  const early = (await rig.client()).send("PROXY ");
  const refused = await rig.connect();
  await eventually(() => rig.node.hits.length === 1);
  rig.port.destroy();
  await peer.over();
  expect(peer.end).toBe("reset");
  expect(rig.node.stream.calls).toEqual(["reset"]);
  await early.over();
  await refused.over();
});
