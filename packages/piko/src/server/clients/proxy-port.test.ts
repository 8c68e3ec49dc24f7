// The port that clients come to, on loopback: whom it lets in, as whom, and how it ends.

import { afterEach, describe, expect, it } from "vitest";
import { AddressRanges } from "../../base/address-ranges.js";
import type { ProxyConfig } from "../../config/server.js";
import { OpenFiles } from "../../net/accept/open-files.js";
import { MAX_REFUSED } from "../../net/accept/refused-connection.js";
import type { ProxyDependencies } from "../exchange/proxy-context.js";
import { NodeRig, type NodeRigOptions } from "../../../test/node-rig.js";
import { eventually, PortPeer } from "../../../test/port-peer.js";
import { RecordedLog } from "../../../test/recorded-log.js";
import { ProxyPort } from "./proxy-port.js";

const GET = "GET /x HTTP/1.1\r\nHost: e.test\r\n\r\n";
const HEAD = "HEAD /x HTTP/1.1\r\nHost: e.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

interface SceneOptions extends NodeRigOptions {
  readonly trustedProxies?: readonly string[];
  readonly proxyProtocol?: ProxyConfig["proxyProtocol"];
  /** The proxy addresses of other nodes. */
  readonly nodes?: readonly string[];
}

/** A proxy port, and an agent's tunnel in memory. */
class Scene {
  readonly node: NodeRig;
  readonly port: ProxyPort;
  readonly log = new RecordedLog();
  readonly #peers: PortPeer[] = [];
  #number = 0;

  constructor(options: SceneOptions) {
    const { trustedProxies = [], proxyProtocol = "off", nodes, dependencies, ...rest } = options;
    const table = { nodes: () => nodes?.map((proxyAddr) => ({ proxyAddr })) };
    const cluster = nodes === undefined ? {} : { cluster: { table } };
    this.node = new NodeRig({
      ...rest,
      settings: { trustedProxies: new AddressRanges(trustedProxies), proxyProtocol },
      dependencies: { ...cluster, logger: this.log.logger, ...dependencies } as Partial<ProxyDependencies>,
    });
    // Its connection in memory isn't wanted here.
    this.node.close();
    this.port = new ProxyPort(this.node.context);
  }

  async listen(): Promise<this> {
    this.#number = (await this.port.listen({ host: "127.0.0.1", port: 0 })).port;
    return this;
  }

  async connect(localAddress?: string): Promise<PortPeer> {
    const peer = await PortPeer.connect(this.#number, localAddress);
    this.#peers.push(peer);
    return peer;
  }

  /** A connection that the port has seen. */
  async client(localAddress?: string): Promise<PortPeer> {
    const { connectionCount } = this.port;
    const peer = await this.connect(localAddress);
    await eventually(() => this.port.connectionCount > connectionCount);
    return peer;
  }

  /** Sends a request over a connection, and answers it. Resolves to what the agent got. */
  async exchange(peer: PortPeer, request = GET): Promise<string> {
    const { asked } = this.node;
    peer.send(request);
    await eventually(() => this.node.asked > asked);
    const { stream } = this.node;
    stream.bring(OK);
    await peer.until(({ text }) => text.endsWith("ok"));
    return stream.written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers.splice(0)) await peer[Symbol.asyncDispose]();
    // The sweep rests when the last connection of any kind is gone.
    await eventually(() => this.port.connectionCount === 0 && this.node.clock.pending === 0);
    this.port.destroy();
    expect(this.port.highestClientCount).toBe(0);
    expect(this.node.budget.used).toBe(0);
  }
}

const scenes: Scene[] = [];
afterEach(async () => {
  for (const scene of scenes.splice(0)) await scene[Symbol.asyncDispose]();
});

async function start(options: SceneOptions = {}): Promise<Scene> {
  const scene = new Scene(options);
  scenes.push(scene);
  return await scene.listen();
}

const statusOf = (text: string): string => text.slice(9, 12);

it("serves clients, each under its own address", async () => {
  const scene = await start();
  const peer = await scene.client("127.0.0.9");
  expect(await scene.exchange(peer)).toContain("X-Forwarded-For: 127.0.0.9\r\n");
  expect([scene.port.connectionCount, scene.port.highestClientCount]).toEqual([1, 1]);
  peer.socket.end();
  await eventually(() => scene.port.connectionCount === 0);
});

describe("connections above a limit", () => {
  it.each<[string, SceneOptions, string]>([
    ["max_connections", { limits: { maxConnections: 1 } }, "503"],
    ["max_connections_per_client", { limits: { maxConnectionsPerClient: 1 } }, "429"],
  ])("%s are refused when they ask for something", async (limit, options, status) => {
    const scene = await start(options);
    const first = await scene.client();
    for (const [index, request] of [GET, HEAD].entries()) {
      const peer = await scene.connect();
      await eventually(() => scene.node.hits.length > index);
      expect(peer.text).toBe("");
      const answer = await peer.send(request).over();
      expect(statusOf(answer)).toBe(status);
      expect(answer).toContain("Retry-After: 1\r\n");
      expect(answer.endsWith("\r\n\r\n")).toBe(request === HEAD);
    }
    expect(scene.node.hits).toEqual([limit, limit]);
    await scene.exchange(first);
    first.socket.end();
    await eventually(() => scene.port.connectionCount === 0);
    await scene.exchange(await scene.client());
  });

  it("aren't waited for long, and may go before", async () => {
    const scene = await start({ limits: { maxConnections: 0 } });
    const silent = await scene.connect();
    const short = await scene.connect();
    await eventually(() => scene.node.hits.length === 2);
    short.socket.end();
    expect(await short.over()).toBe("");
    scene.node.clock.advance(1_500);
    expect(silent.end).toBeUndefined();
    scene.node.clock.advance(750);
    expect(await silent.over()).toBe("");
  });

  it("are so many at a time, and further ones are closed without a word", async () => {
    const scene = await start({ limits: { maxConnections: 0 } });
    const told: PortPeer[] = [];
    while (told.length < MAX_REFUSED) told.push(await scene.connect());
    await eventually(() => scene.node.hits.length === MAX_REFUSED);
    expect(await (await scene.connect()).over()).toBe("");
    // A place that is left can be taken, as soon as the port has noticed.
    expect(statusOf((await told[0]?.send(GET).over()) ?? "")).toBe("503");
    told[0]?.socket.destroy();
    let answer = "";
    while (answer === "") answer = await (await scene.connect()).send(GET).over();
    expect(statusOf(answer)).toBe("503");
  });

  it("don't keep others from theirs", async () => {
    const scene = await start({ limits: { maxConnectionsPerClient: 1 } });
    await scene.client();
    await scene.client("127.0.0.2");
    expect([scene.port.connectionCount, scene.port.highestClientCount]).toEqual([2, 1]);
  });

  it.each<[string, SceneOptions]>([
    ["trusted proxies", { trustedProxies: ["127.0.0.1"] }],
    ["nodes", { nodes: ["192.0.2.1:8000", "127.0.0.1:8000"] }],
  ])("are none where %s bring the requests of many", async (_title, options) => {
    const scene = await start({ ...options, limits: { maxConnectionsPerClient: 1 } });
    for (let i = 0; i < 3; i++) await scene.exchange(await scene.client());
    expect([scene.port.connectionCount, scene.port.highestClientCount]).toEqual([3, 0]);
  });

  it("are refused when the process is short of files, and closed when it is out", async () => {
    for (const [limit, status] of [
      // The number of an accepted socket is above the first, and within the reserve of the second.
      [0, ""],
      [64, "503"],
    ] as const) {
      const scene = await start({ dependencies: { files: new OpenFiles(limit) } });
      const answer = await (await scene.connect()).send(GET).over();
      expect(statusOf(answer)).toBe(status);
      expect(scene.node.hits).toEqual(["open_files"]);
    }
  });
});

describe("another node behind the address of clients that have all of its connections", () => {
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
  } as unknown as SceneOptions;

  it("is served by what it knows, over and over, and is none of them", async () => {
    const scene = await start(options);
    const first = await scene.client();
    await scene.exchange(first);
    const node = await scene.client();
    for (const _ of [1, 2]) expect(await scene.exchange(node, HOP)).not.toContain(SECRET);
    for (const request of [GET, HOP.replace(SECRET, "x".repeat(SECRET.length)), HEAD]) {
      const answer = await (await scene.client()).send(request).over();
      expect(statusOf(answer)).toBe("429");
      expect(answer).toMatch(/\r\nconnection: close\r\n/i);
    }
    expect(scene.node.hits).toEqual(Array.from({ length: 3 }, () => "max_connections_per_client"));
    expect(scene.port.highestClientCount).toBe(1);
    // It is a node's connection for good.
    await scene.exchange(node, HOP);
    first.socket.end();
    await eventually(() => scene.port.connectionCount === 1);
    await scene.exchange(await scene.client());
  });

  it("finds room beside a thousand that say nothing", async () => {
    const scene = await start(options);
    await scene.exchange(await scene.client());
    const silent = await Promise.all(Array.from({ length: 1_024 }, () => scene.connect()));
    await eventually(() => scene.port.connectionCount === 1_025);
    const node = await scene.connect();
    await scene.exchange(node, HOP);
    expect(scene.port.connectionCount).toBe(1_025);
    expect(silent.filter(({ end }) => end !== undefined)).toHaveLength(1);
  });
});

describe("a PROXY protocol header", () => {
  const HEADER = "PROXY TCP4 203.0.113.7 127.0.0.1 5000 8000\r\n";

  it.each<[string, SceneOptions, string, string]>([
    ["names the client", { proxyProtocol: "required" }, HEADER, "203.0.113.7"],
    ["names the client where it need not", { proxyProtocol: "optional" }, HEADER, "203.0.113.7"],
    ["may be absent", { proxyProtocol: "optional" }, "", "127.0.0.1"],
    ["of a health check names nobody else", { proxyProtocol: "required" }, "PROXY UNKNOWN\r\n", "127.0.0.1"],
    [
      "of a trusted sender is read",
      { proxyProtocol: "required", trustedProxies: ["127.0.0.1"] },
      HEADER,
      "203.0.113.7",
    ],
    ["is not asked of nodes", { proxyProtocol: "required", nodes: ["127.0.0.1:8000"] }, "", "127.0.0.1"],
    [
      "is not asked of nodes that aren't trusted proxies",
      { proxyProtocol: "required", nodes: ["127.0.0.1:8000"], trustedProxies: ["192.0.2.1"] },
      "",
      "127.0.0.1",
    ],
    [
      "may be absent of those that aren't trusted",
      { proxyProtocol: "optional", trustedProxies: ["192.0.2.1"] },
      "",
      "127.0.0.1",
    ],
  ])("%s", async (_title, options, header, address) => {
    const scene = await start(options);
    const peer = await scene.client();
    // It came with the request's first bytes, or before them.
    if (header !== "") peer.send(header.slice(0, 9));
    await new Promise((resolve) => setImmediate(resolve));
    const written = await scene.exchange(peer, header.slice(9) + GET);
    expect(written).toContain(`X-Forwarded-For: ${address}\r\n`);
    expect(scene.port.connectionCount).toBe(1);
  });

  it.each<[string, SceneOptions, string, string[]]>([
    ["that is asked for and absent", { proxyProtocol: "required" }, GET, ["proxy_protocol"]],
    ["that is none", { proxyProtocol: "optional" }, "PROXY TCP4 x\r\n", ["proxy_protocol"]],
    [
      "of anybody, where only trusted ones may send any",
      { proxyProtocol: "required", trustedProxies: ["192.0.2.1"] },
      "",
      ["proxy_protocol"],
    ],
  ])("%s ends the connection without a word", async (_title, options, text, hits) => {
    const scene = await start(options);
    const peer = await scene.connect();
    if (text !== "") peer.send(text);
    expect(await peer.over()).toBe("");
    expect(scene.node.hits).toEqual(hits);
    expect(scene.node.asked).toBe(0);
  });

  it("is read by nobody where only trusted ones may send any", async () => {
    const scene = await start({ proxyProtocol: "optional", trustedProxies: ["192.0.2.1"] });
    const answer = await (await scene.client()).send(HEADER + GET).over();
    expect(statusOf(answer)).toBe("400");
    expect(scene.node.asked).toBe(0);
  });

  it("has to be there in time", async () => {
    const scene = await start({ proxyProtocol: "required", http: { readHeaderTimeoutMs: 1_000 } });
    const peer = (await scene.client()).send("PROXY ");
    await eventually(() => scene.node.budget.used > 0);
    scene.node.clock.advance(1_000);
    expect(await peer.over()).toBe("");
    expect(scene.node.hits).toEqual(["read_header_timeout"]);
  });

  it("counts for the address that it names", async () => {
    const scene = await start({ proxyProtocol: "required", limits: { maxConnectionsPerClient: 1 } });
    await scene.exchange(await scene.client(), HEADER + GET);
    const answer = await (await scene.client()).send(HEADER + GET).over();
    expect(statusOf(answer)).toBe("429");
    await scene.exchange(await scene.client(), HEADER.replace("203.0.113.7", "203.0.113.8") + GET);
  });
});

describe("a port that drains", () => {
  it("ends idle connections and those that are refused, and waits for requests under way", async () => {
    const scene = await start({ proxyProtocol: "optional", limits: { maxConnections: 3 } });
    const busy = (await scene.client()).send(GET);
    await eventually(() => scene.node.asked === 1);
    const idle = await scene.client();
    await scene.exchange(idle);
    const early = (await scene.client()).send("PROXY ");
    const refused = await scene.connect();
    await eventually(() => scene.node.hits.length === 1);
    let drained = false;
    const done = scene.port.drain().then(() => (drained = true));
    for (const peer of [idle, early, refused]) expect(await peer.over()).not.toContain("503");
    await expect(scene.connect()).rejects.toThrow(/ECONNREFUSED/);
    expect(drained).toBe(false);
    scene.node.tunnel.streams[0]?.bring(OK);
    expect(await busy.over()).toMatch(/connection: close\r\n.*ok$/is);
    await done;
  });

  it("without connections is done at once", async () => {
    const scene = await start();
    await scene.port.drain();
  });

  it("asks clients to come back elsewhere before that", async () => {
    const scene = await start();
    scene.port.discourage();
    const peer = await scene.client();
    await scene.exchange(peer);
    expect(peer.text).toMatch(/\r\nconnection: close\r\n/i);
  });
});

it("a port that is destroyed cuts what is left with a reset", async () => {
  const scene = await start({ proxyProtocol: "optional", limits: { maxConnections: 2 } });
  const peer = (await scene.client()).send(GET);
  await eventually(() => scene.node.asked === 1);
  const early = (await scene.client()).send("PROXY ");
  const refused = await scene.connect();
  await eventually(() => scene.node.hits.length === 1);
  scene.port.destroy();
  await peer.over();
  expect(peer.end).toBe("reset");
  expect(scene.node.stream.calls).toEqual(["reset"]);
  await early.over();
  await refused.over();
});
