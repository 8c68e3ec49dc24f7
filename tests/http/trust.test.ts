// Whose information about a request's origin is trusted: X-Forwarded-*, the PROXY protocol, and Piko's own fields.

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, connect as connectTcp, createServer } from "node:net";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { beforeAll, describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually } from "../harness/deadline.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import type { RawResponse } from "../harness/raw-response.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();
let service: Service;
/** Trusts no one. */
let server: RunningServer;

beforeAll(async () => {
  service = await Service.start(stage);
  server = await startServer(stage);
  await startAgent(stage, server.upstream, "web", service.addr);
});

async function start(flags: Readonly<Record<string, string>>): Promise<RunningServer> {
  const started = await startServer(scene, flags);
  await startAgent(scene, started.upstream, "web", service.addr);
  return started;
}

const request = (fields = ""): string => `GET /reflect HTTP/1.1\r\nHost: web.test:80\r\n${fields}\r\n`;

type Seen = Readonly<Record<string, string | undefined>>;

/** Fields that reached the service. */
async function seenBy(client: RawClient): Promise<Seen> {
  const { status, body } = await client.response();
  expect(status).toBe(200);
  return (JSON.parse(body.toString()) as { headers: Seen }).headers;
}

/** Sends bytes on a connection of their own, and returns the fields of the request that reached the service. */
async function send(to: RunningServer, ...pieces: readonly (string | Buffer)[]): Promise<Seen> {
  const client = await RawClient.connect(scene, to.proxy);
  for (const piece of pieces) client.send(piece);
  return await seenBy(client);
}

const FORWARDED_FIELDS =
  "X-Forwarded-For: 192.0.2.1, 10.0.0.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";

/** The client that the last line of the access log names. */
async function loggedClient(of: RunningServer, from: number): Promise<unknown> {
  return (await of.program.waitFor("request", { from })).fields["client-ip"];
}

describe("X-Forwarded fields", () => {
  it("from a client that isn't trusted are replaced, except X-Forwarded-For, which is appended to", async () => {
    const from = server.program.lines.length;
    expect(await send(server, request(FORWARDED_FIELDS))).toMatchObject({
      "x-forwarded-for": "192.0.2.1, 10.0.0.9, 127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "web.test:80",
    });
    expect(await loggedClient(server, from)).toBe("127.0.0.1");
  });

  it("are added if there are none", async () => {
    expect(await send(server, request())).toMatchObject({
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "web.test:80",
    });
  });

  it("appear once each, whatever was sent", async () => {
    const client = await RawClient.connect(scene, server.proxy);
    client.send(
      request(
        FORWARDED_FIELDS +
          FORWARDED_FIELDS.toLowerCase() +
          FORWARDED_FIELDS.toUpperCase().replace("HTTPS", "https"),
      ),
    );
    const { body } = await client.response();
    const { rawHeaders } = JSON.parse(body.toString()) as { rawHeaders: string[] };
    const names = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    for (const name of ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]) {
      expect(names.filter((each) => each === name)).toEqual([name]);
    }
  });

  it("from a trusted proxy are kept, and name the client in the log", async () => {
    const trusting = await start({ "proxy.trusted-proxies": "127.0.0.1,10.0.0.0/8" });
    const from = trusting.program.lines.length;
    expect(await send(trusting, request(FORWARDED_FIELDS))).toMatchObject({
      "x-forwarded-for": "192.0.2.1, 10.0.0.9, 127.0.0.1",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "shop.example",
    });
    expect(await loggedClient(trusting, from)).toBe("192.0.2.1");
    expect(await send(trusting, request())).toMatchObject({
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "web.test:80",
    });
  });

  it("from a proxy that isn't one of the trusted ones are replaced", async () => {
    const trusting = await start({ "proxy.trusted-proxies": "127.0.0.2,10.0.0.0/8" });
    expect((await send(trusting, request(FORWARDED_FIELDS)))["x-forwarded-proto"]).toBe("http");
  });

  it.runIf(haveTools("curl"))("from a client are treated on the next node as on the first", async () => {
    const first = await startServer(scene, { "proxy.trusted-proxies": "127.0.0.1" });
    const second = await startServer(scene, { "cluster.join": first.gossip });
    await startAgent(scene, second.upstream, "web", service.addr);
    await eventually(async () => {
      const { status } = await curl(first.proxy, "web", "/item");
      return status === 200;
    }, "the endpoint at the other node");
    expect(await send(first, request(FORWARDED_FIELDS))).toMatchObject({
      "x-forwarded-for": "192.0.2.1, 10.0.0.9, 127.0.0.1, 127.0.0.1",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "shop.example",
    });
    expect((await send(second, request(FORWARDED_FIELDS)))["x-forwarded-proto"]).toBe("http");
  });

  it("match each request's own host on a connection with requests for several", async () => {
    const client = await RawClient.connect(scene, server.proxy);
    for (const host of ["web.one", "web.two", "web.two", "web.one"]) {
      client.send(`GET /reflect HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect((await seenBy(client))["x-forwarded-host"]).toBe(host);
    }
    client.send("GET http://web.absolute/reflect HTTP/1.1\r\nHost: web.absolute\r\n\r\n");
    expect((await seenBy(client))["x-forwarded-host"]).toBe("web.absolute");
  });
});

describe("Piko's own fields", () => {
  it.each([
    "x-piko-forward: true",
    "X-PIKO-FORWARD: true",
    "x-piko-tenant-id: acme",
    "x-piko-authorization: Bearer x",
  ])("%s from a client never reaches the service", async (field) => {
    const seen = await send(server, request(`${field}\r\nx-kept: yes\r\n`));
    expect(Object.keys(seen).filter((name) => name.startsWith("x-piko"))).toEqual([]);
    expect(seen["x-kept"]).toBe("yes");
  });

  it("keep a client's request on this node, and reveal nothing about the cluster to the client", async () => {
    // Nodes have addresses of their own: requests from these addresses are hops.
    const first = await startServer(scene, { "proxy.bind-addr": "127.0.0.2:0" });
    const second = await startServer(scene, {
      "proxy.bind-addr": "127.0.0.3:0",
      "cluster.join": first.gossip,
    });
    await startAgent(scene, second.upstream, "web", service.addr);
    const ask = async (fields: string): Promise<RawResponse> => {
      const client = await RawClient.connect(scene, first.proxy);
      client.send(request(fields));
      return await client.response();
    };
    await eventually(async () => (await ask("")).status === 200, "the endpoint at the other node");
    const response = await ask("x-piko-forward: true\r\n");
    expect(response.status).toBe(502);
    expect(response.field("x-piko-reroute")).toBeUndefined();
  });

  it("don't make a client's other fields trusted", async () => {
    const seen = await send(server, request(`x-piko-forward: true\r\n${FORWARDED_FIELDS}`));
    expect(seen["x-forwarded-proto"]).toBe("http");
  });
});

const V1 = "PROXY TCP4 192.0.2.7 198.51.100.1 5000 80\r\n";
const V1_IPV6 = "PROXY TCP6 2001:db8::7 2001:db8::1 5000 80\r\n";
const V2: Buffer = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000207c633640113880050", "hex");
const V2_LOCAL: Buffer = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");

describe("a PROXY protocol header", () => {
  const required = { "proxy.proxy-protocol": "required" };
  const optional = { "proxy.proxy-protocol": "optional" };
  let strict: RunningServer;
  let tolerant: RunningServer;
  const scope = perFile();

  beforeAll(async () => {
    strict = await startServer(scope, { ...required, "proxy.http.read-header-timeout": "2s" });
    tolerant = await startServer(scope, optional);
    for (const each of [strict, tolerant]) await startAgent(scope, each.upstream, "web", service.addr);
  });

  /** The address that the service and the log get if these bytes arrive first. */
  async function reportedClient(
    to: RunningServer,
    ...pieces: readonly (string | Buffer)[]
  ): Promise<unknown> {
    const from = to.program.lines.length;
    const seen = await send(to, ...pieces);
    expect(await loggedClient(to, from)).toBe(seen["x-forwarded-for"]);
    return seen["x-forwarded-for"];
  }

  it.each([
    ["of version 1", V1, "192.0.2.7"],
    ["of version 1 with IPv6", V1_IPV6, "2001:db8::7"],
    ["of version 1 with UNKNOWN", "PROXY UNKNOWN\r\n", "127.0.0.1"],
    ["of version 2", V2, "192.0.2.7"],
    ["of version 2 with the command LOCAL", V2_LOCAL, "127.0.0.1"],
  ])("%s reports the client's address", async (_, header, address) => {
    const whole = Buffer.concat([Buffer.from(header as string, "latin1"), Buffer.from(request())]);
    for (const to of [strict, tolerant]) {
      expect(await reportedClient(to, whole)).toBe(address);
      expect(await reportedClient(to, header, request())).toBe(address);
    }
  });

  it.each([
    ["1", V1],
    ["2", V2],
  ])("of version %s may arrive byte by byte", async (_, header) => {
    const bytes = Buffer.concat([Buffer.from(header as string, "latin1"), Buffer.from(request())]);
    const client = await RawClient.connect(scene, strict.proxy);
    for (const byte of bytes) {
      await new Promise((resolve) => client.socket.write(Buffer.of(byte), resolve));
    }
    expect((await seenBy(client))["x-forwarded-for"]).toBe("192.0.2.7");
  });

  it("applies to every request on its connection", async () => {
    const client = await RawClient.connect(scene, strict.proxy);
    client.send(V1 + request() + request());
    for (let i = 0; i < 2; i++) expect((await seenBy(client))["x-forwarded-for"]).toBe("192.0.2.7");
    client.send(request());
    expect((await seenBy(client))["x-forwarded-for"]).toBe("192.0.2.7");
  });

  it("may come only once", async () => {
    const client = await RawClient.connect(scene, strict.proxy);
    client.send(V1 + V1 + request());
    expect((await client.response()).status).toBe(400);
  });

  it.each([
    ["that is missing", request()],
    ["that is malformed", "PROXY TCP4 192.0.2.7 nowhere 1 2\r\n"],
    ["that is endless", `PROXY ${"x".repeat(200)}`],
    ["of an unknown version", "\r\n\r\n\0\r\nQUIT\n\x31"],
  ])("%s ends a connection that requires one, without an answer", async (_, bytes) => {
    const before = (await metric(strict.admin, 'piko_proxy_limited_total{limit="proxy_protocol"}')) ?? 0;
    const client = await RawClient.connect(scene, strict.proxy);
    client.send(bytes);
    expect((await client.rest()).length).toBe(0);
    await untilMetric(strict.admin, 'piko_proxy_limited_total{limit="proxy_protocol"}', before + 1);
  });

  it("that is malformed also ends a connection for which it is optional", async () => {
    const client = await RawClient.connect(scene, tolerant.proxy);
    client.send("PROXY TCP4 nobody nowhere 1 2\r\n" + request());
    expect((await client.rest()).length).toBe(0);
  });

  it("must arrive in time", async () => {
    const client = await RawClient.connect(scene, strict.proxy);
    client.send("PROXY TCP4");
    expect((await client.rest(5_000)).length).toBe(0);
    expect(await metric(strict.admin, 'piko_proxy_limited_total{limit="read_header_timeout"}')).toBe(1);
  });

  it("may be missing if it is optional", async () => {
    expect(await reportedClient(tolerant, request())).toBe("127.0.0.1");
    const slow = await RawClient.connect(scene, tolerant.proxy);
    for (const byte of request().replace("GET", "POST")) {
      await new Promise((resolve) => slow.socket.write(byte, resolve));
    }
    expect((await seenBy(slow))["x-forwarded-for"]).toBe("127.0.0.1");
  });

  it("from a client that isn't trusted isn't a header", async () => {
    const elsewhere = { "proxy.trusted-proxies": "10.0.0.0/8" };
    const some = await start({ ...optional, ...elsewhere });
    const client = await RawClient.connect(scene, some.proxy);
    client.send(V1 + request());
    expect((await client.response()).status).toBe(400);
    expect(await reportedClient(some, request())).toBe("127.0.0.1");
    const all = await start({ ...required, ...elsewhere });
    expect((await (await RawClient.connect(scene, all.proxy)).rest()).length).toBe(0);
  });

  it("from a trusted proxy that names a trusted client makes that client's fields trusted", async () => {
    const chain = await start({ ...optional, "proxy.trusted-proxies": "127.0.0.0/8,192.0.2.7" });
    const seen = await send(
      chain,
      V1,
      request("X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n"),
    );
    expect(seen).toMatchObject({ "x-forwarded-for": "203.0.113.5, 192.0.2.7", "x-forwarded-proto": "https" });
  });

  it("is just a malformed request by default", async () => {
    const client = await RawClient.connect(scene, server.proxy);
    client.send(V1 + request());
    expect((await client.response()).status).toBe(400);
  });

  it.runIf(haveTools("curl"))("of curl is accepted", async () => {
    const { stdout } = await curl(strict.proxy, "web", "/reflect", { args: ["--haproxy-protocol"] });
    expect((JSON.parse(stdout) as { headers: Seen }).headers["x-forwarded-for"]).toBe("127.0.0.1");
  });

  it.runIf(haveTools("haproxy")).each(["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl"])(
    "of haproxy (%s) is accepted",
    async (option) => {
      const client = await RawClient.connect(scene, await startHaproxy(option));
      client.send(request());
      const seen = await seenBy(client);
      expect(seen["x-forwarded-for"]).toBe("127.0.0.1");
      // From an address of its own, to be sure that it isn't haproxy's address that was seen.
      const socket = connectTcp({
        host: "127.0.0.1",
        port: client.socket.remotePort ?? 0,
        localAddress: "127.0.0.5",
      });
      scene.defer(() => void socket.destroy());
      socket.write(request());
      const [piece] = (await once(socket, "data")) as [Buffer];
      expect(piece.toString()).toContain('"x-forwarded-for":"127.0.0.5"');
    },
  );

  /** Starts haproxy as a load balancer that forwards to the server that requires a header; returns its address. */
  async function startHaproxy(option: string): Promise<string> {
    // The test listens and passes the socket to haproxy, so that no port has to be guessed.
    const listening = createServer();
    listening.listen(0, "127.0.0.1");
    await once(listening, "listening");
    const { port } = listening.address() as AddressInfo;
    const { fd } = (listening as unknown as { _handle: { fd: number } })._handle;
    const path = join(await scene.directory(), "haproxy.cfg");
    await writeFile(
      path,
      `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\nlisten lb\n  bind fd@3\n  server piko ${strict.proxy} ${option}\n`,
    );
    const haproxy = spawn("haproxy", ["-db", "-f", path], { stdio: ["ignore", "ignore", "ignore", fd] });
    const ended = once(haproxy, "exit");
    scene.defer(async () => {
      haproxy.kill("SIGKILL");
      await ended;
    });
    listening.close();
    return `127.0.0.1:${port}`;
  }
});
