// `piko status`: pages for programs and for people, requests, and errors if there is no response.

import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createCertificates } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { AdminClient } from "./admin-client.js";
import {
  clusterNode,
  clusterNodes,
  gossipNode,
  gossipNodes,
  upstreamAgents,
  upstreamDoubtful,
  upstreamEndpoints,
} from "./pages.js";
import {
  closeServers,
  configOf,
  serve,
  servePages,
  servers,
  show,
  TestScreen,
} from "../../test/status-rig.js";

afterEach(closeServers);

const A = { id: "a", status: "active", proxy_addr: "10.0.0.1:8000", admin_addr: "10.0.0.1:8002" };
const B = { id: "b", status: "left", proxy_addr: "10.0.0.2:8000", admin_addr: "10.0.0.2:8002" };

const GOSSIP_B = {
  id: "b",
  addr: "10.0.0.2:8003",
  version: 7,
  left: true,
  unreachable: false,
  expiry: "2026-11-25T12:00:41.5Z",
};

const GOSSIP_A = { ...GOSSIP_B, id: "a", left: false, expiry: "0001-01-01T00:00:00Z" };
const ENTRY = { key: "proxy_addr", value: "10.0.0.2:8000", version: 1, internal: false, deleted: false };

const PAGES = {
  "/status/upstream/endpoints": { web: 12, api: 1 },
  "/status/upstream/agents": [
    {
      endpoint_id: "web",
      agent: "0123456789ab",
      client_ip: "10.0.0.9",
      since: "2026-11-25T11:59:50.000Z",
      tunnels: 2,
      streams: 12,
    },
    {
      endpoint_id: "web",
      tenant_id: "t",
      agent: null,
      client_ip: "10.0.0.8",
      since: "2026-11-25T11:59:59.000Z",
      tunnels: 1,
      streams: 0,
    },
  ],
  "/status/upstream/doubtful": [
    {
      endpoint_id: "web",
      client_ip: "10.0.0.9",
      since: "2026-11-25T11:59:50.000Z",
      reason: "a stream not accepted in 1000 ms",
      streams: 12,
    },
  ],
  "/status/cluster/nodes": [
    { ...B, endpoints: 0, upstreams: 0 },
    { ...A, endpoints: 2, upstreams: 13 },
  ],
  "/status/cluster/nodes/local": { ...A, endpoints: null },
  "/status/gossip/nodes": [GOSSIP_B, GOSSIP_A],
  "/status/gossip/nodes/b": { ...GOSSIP_B, Entries: [ENTRY, { ...ENTRY, key: "x", deleted: true }] },
  "/status/gossip/nodes/a": { ...GOSSIP_A, Entries: null },
};

describe("a page for programs", () => {
  it("has the keys and the order of Go Piko's", async () => {
    const config = configOf(await servePages(PAGES));
    const ids = { id: "a", status: "active", proxy_addr: "10.0.0.1:8000", admin_addr: "10.0.0.1:8002" };
    expect(await show(upstreamEndpoints, config)).toBe("api: 1\nweb: 12\n");
    expect(JSON.stringify(parse(await show(clusterNodes(""), config)))).toBe(
      JSON.stringify({
        nodes: [
          { ...ids, endpoints: 2, upstreams: 13 },
          { ...B, endpoints: 0, upstreams: 0 },
        ],
      }),
    );
    expect(parse(await show(upstreamDoubtful, config))).toEqual({
      tunnels: PAGES["/status/upstream/doubtful"],
    });
    expect(parse(await show(upstreamAgents, config))).toEqual({ agents: PAGES["/status/upstream/agents"] });
    expect(parse(await show(clusterNodes("left"), config))).toMatchObject({ nodes: [{ id: "b" }] });
    expect(JSON.stringify(parse(await show(clusterNode("local"), config)))).toBe(
      JSON.stringify({ ...ids, endpoints: {} }),
    );
    expect(parse(await show(gossipNodes, config))).toEqual({ nodes: [GOSSIP_A, GOSSIP_B] });
    expect(JSON.stringify(parse(await show(gossipNode("b"), config)))).toBe(
      JSON.stringify({ nodemetadata: GOSSIP_B, entries: PAGES["/status/gossip/nodes/b"].Entries }),
    );
    expect(parse(await show(gossipNode("a"), config))).toEqual({ nodemetadata: GOSSIP_A, entries: [] });
  });

  it("is the same document in JSON", async () => {
    const config = configOf(await servePages(PAGES), { output: "json" });
    expect(JSON.parse(await show(gossipNode("b"), config, new TestScreen(80)))).toEqual({
      nodemetadata: GOSSIP_B,
      entries: PAGES["/status/gossip/nodes/b"].Entries,
    });
  });
});

describe("a page on a terminal", () => {
  it("is a table", async () => {
    const config = configOf(await servePages(PAGES));
    expect(await show(clusterNodes(""), config, new TestScreen(80))).toBe(
      [
        "ID  STATUS  ENDPOINTS  UPSTREAMS  PROXY          ADMIN",
        "a   active          2         13  10.0.0.1:8000  10.0.0.1:8002",
        "b   left            0          0  10.0.0.2:8000  10.0.0.2:8002",
        "",
        "2 nodes: 1 active, 1 left",
        "",
      ].join("\n"),
    );
    expect(await show(clusterNode("local"), config, new TestScreen(80))).toBe(
      "id      a\nstatus  active\nproxy   10.0.0.1:8000\nadmin   10.0.0.1:8002\n\nno endpoints\n",
    );
    expect(await show(gossipNodes, config, new TestScreen(80))).toBe(
      [
        "ID  STATE   ADDRESS        VERSION  FORGOTTEN",
        "a   active  10.0.0.2:8003        7",
        "b   left    10.0.0.2:8003        7  in 42 s",
        "",
      ].join("\n"),
    );
    expect(await show(upstreamDoubtful, config, new TestScreen(80))).toBe(
      [
        "ENDPOINT  AGENT     STREAMS  FOR   REASON",
        "web       10.0.0.9       12  10 s  a stream not accepted in 1000 ms",
        "",
      ].join("\n"),
    );
    expect(await show(upstreamAgents, config, new TestScreen(80))).toBe(
      [
        "ENDPOINT  AGENT         TUNNELS  STREAMS  FOR   ADDRESS",
        "web       0123456789ab        2       12  10 s  10.0.0.9",
        "web       -                   1        0  1 s   10.0.0.8",
        "",
        "2 agents with 3 tunnels to this node",
        "",
      ].join("\n"),
    );
    const empty = configOf(await servePages({ "/status/upstream/agents": [] }));
    expect(await show(upstreamAgents, empty, new TestScreen(80))).toBe("no agents\n");
    const well = configOf(await servePages({ "/status/upstream/doubtful": [] }));
    expect(await show(upstreamDoubtful, well, new TestScreen(80))).toBe("no upstream is in doubt\n");
    const alone = configOf(await servePages({ "/status/gossip/nodes": [GOSSIP_A] }));
    expect(await show(gossipNodes, alone, new TestScreen(80))).not.toContain("FORGOTTEN");
    expect(await show(gossipNode("b"), config, new TestScreen(80))).toContain(
      "x           10.0.0.2:8000        1  deleted\n",
    );
  });

  it("doesn't let names control the terminal", async () => {
    const url = await servePages({ "/status/upstream/endpoints": { "a\u001b[31m\u009b": 1 } });
    for (const output of ["table", "yaml", "json"]) {
      const text = await show(upstreamEndpoints, configOf(url, { output }), new TestScreen(80));
      expect(text).not.toMatch(/[^\P{Cc}\n]/u);
    }
  });
});

describe("a request", () => {
  it("carries the token and the other node's id", async () => {
    const seen: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      seen.push(request.url, request.headers.authorization);
      response.end("{}");
    });
    await show(upstreamEndpoints, configOf(`${url}/admin/`, { forward: "b&c=d/é", "server.token": "t0k3n" }));
    expect(seen).toEqual(["/admin/status/upstream/endpoints?forward=b%26c%3Dd%2F%C3%A9", "Bearer t0k3n"]);
  });

  it.each<[string, RequestListener, string]>([
    ["an error", (_, response) => response.writeHead(500).end("x".repeat(5_000)), "bad status: 500"],
    [
      "a JSON error",
      (_, response) => response.writeHead(504).end('{"error":"upstream timeout"}'),
      "bad status: 504 (upstream timeout)",
    ],
    [
      "no token",
      (_, response) => response.writeHead(401).end('{"error":"missing authorization"}'),
      "bad status: 401 (missing authorization); set a token with --server.token-file or PIKO_SERVER_TOKEN",
    ],
    ["an unknown node", (_, response) => response.writeHead(404).end(), "no node b"],
    ["a redirect", (_, response) => response.writeHead(302, { location: "/" }).end(), "bad status: 302"],
    [
      "a web page",
      (_, response) => response.end("<html>"),
      "not the answer of a piko server; is this its admin port?",
    ],
    [
      "other JSON",
      (_, response) => response.end('[{"id":1}]'),
      "not the answer of a piko server; is this its admin port?",
    ],
  ])("that is answered with %s fails in one line", async (_what, answer, message) => {
    const url = await serve(answer);
    await expect(show(clusterNode("b"), configOf(url))).rejects.toThrow(`cluster node b: ${url}: ${message}`);
  });

  it("to a port without a server fails in one line", async () => {
    const url = await serve(() => {});
    servers.pop()?.close();
    const message = `gossip nodes: ${url}: connection refused; is a server running there?`;
    await expect(show(gossipNodes, configOf(url))).rejects.toThrow(message);
  });
});

describe("names chosen by others", () => {
  it.each(["yaml", "json", "table"])(
    "are shown in %s, even if they mean something to JavaScript or a terminal",
    async (output) => {
      const page = '{"__proto__":1,"b\\u202e\\u2028\\u001b[2J":2}';
      const url = await serve((_, response) => response.end(page));
      const shown = await show(upstreamEndpoints, configOf(url, { output }));
      expect(shown).toContain("__proto__");
      expect(shown).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u);
      if (output !== "table") expect(JSON.stringify(parse(shown))).toBe(JSON.stringify(JSON.parse(page)));
    },
  );

  it("can't control a terminal through an error either", async () => {
    const body = JSON.stringify({ error: "\u001b[2J\u202e" });
    const url = await serve((_, response) => response.writeHead(503).end(body));
    await expect(show(upstreamEndpoints, configOf(url))).rejects.toThrow("503 (\ufffd[2J\ufffd)");
  });
});

describe("a request that isn't answered", () => {
  it.each<[string, RequestListener]>([
    ["at all", () => {}],
    ["to its end", (_, response) => void response.write("{")],
  ])("%s in time fails in one line", async (_what, answer) => {
    const url = await serve(answer);
    const client = new AdminClient(configOf(url), 50);
    const { signal } = new AbortController();
    await expect(client.get("/status", "", signal)).rejects.toThrow(`${url}: no answer in 0.05 s`);
  });
});

describe("a request over TLS", () => {
  it("presents its certificate, and trusts the given authorities", async () => {
    using files = createCertificates();
    const options = {
      cert: files.read(files.serverCert),
      key: files.read(files.serverKey),
      ca: files.read(files.caCert),
      requestCert: true,
    };
    const server = createTlsServer(options, (_request, response) => response.end('{"web":1}'));
    servers.push(server.listen(0, "127.0.0.1"));
    await once(server, "listening");
    const url = `https://localhost:${(server.address() as AddressInfo).port}`;
    const own = { "server.tls.cert": files.clientCert, "server.tls.key": files.clientKey };
    const trusting = configOf(url, { ...own, "server.tls.rootCas": files.caCert });
    expect(await show(upstreamEndpoints, trusting)).toBe("web: 1\n");
    const careless = configOf(url, { ...own, "server.tls.insecureSkipVerify": true });
    expect(await show(upstreamEndpoints, careless)).toBe("web: 1\n");
    await expect(show(upstreamEndpoints, configOf(url, own))).rejects.toThrow(
      `${url}: self-signed certificate in certificate chain; set --server.tls.root-cas to the authorities to trust`,
    );
    expect(() => configOf(url, { "server.tls.rootCas": "/nowhere.pem" })).toThrow(
      "can't read /nowhere.pem (ENOENT)",
    );
  });
});
