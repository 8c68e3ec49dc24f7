// The upstream port: its limits, how it reports tunnels, and how it ends them.

import { afterEach, describe, expect, it } from "vitest";
import type { TenantConfig } from "../../config/auth.js";
import { loadConfig } from "../../config/load-config.js";
import { SERVER } from "../../config/server.js";
import { OpenFiles } from "../../net/accept/open-files.js";
import { MAX_REFUSED } from "../../net/accept/refused-connection.js";
import { eventually, type PortPeer } from "../../../test/port-peer.js";
import { UpstreamRig, type UpstreamRigOptions, upgradeRequest } from "../../../test/upstream-rig.js";

let rig: UpstreamRig | undefined;
afterEach(async () => {
  const last = rig;
  rig = undefined;
  await last?.[Symbol.asyncDispose]();
  expect(last?.port.highestClientCount ?? 0).toBe(0);
  last?.clock.assertIdle();
});

async function start(options?: UpstreamRigOptions): Promise<UpstreamRig> {
  rig = await UpstreamRig.start(options);
  return rig;
}

const UNLIMITED_TENANT: TenantConfig = {
  id: "a",
  auth: loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given: [] }).upstream.auth,
  endpoints: [],
  maxTunnels: Number.POSITIVE_INFINITY,
  maxEndpoints: Number.POSITIVE_INFINITY,
  requestsPerSecond: Number.POSITIVE_INFINITY,
  requestsPerSecondPerEndpoint: Number.POSITIVE_INFINITY,
};

const statusOf = (answer: string): string => answer.slice(9, 12);

describe("the response to an agent", () => {
  const answerTo = async (rig: UpstreamRig, endpoint: string, fields: string): Promise<string> => {
    const peer = await rig.connect();
    return (await peer.send(upgradeRequest(endpoint, fields)).until(({ text }) => text !== "")).text;
  };
  const OURS = "x-piko-capabilities: drain\r\n";

  it("has the endpoint's URL if the id can be part of one, or else the proxy port", async () => {
    const rig = await start();
    rig.publicAddress.setProxyPort(8443, true);
    expect(await answerTo(rig, "web", OURS)).toContain("x-piko-url: https://web.piko.example.com\r\n");
    const named = await answerTo(rig, "My.Web", OURS);
    expect(named).toContain("x-piko-proxy-port: 8443;tls\r\n");
    expect(named).not.toContain("x-piko-url");
  });

  it("has the number of other agents of the tenant, each counted once", async () => {
    const rig = await start();
    const others = async (fields: string): Promise<string | undefined> =>
      /x-piko-other-agents: (\d+)/.exec(await answerTo(rig, "web", OURS + fields))?.[1];
    const named = (name: string): string => `x-piko-instance: ${name}\r\n`;
    expect(await others(named("a"))).toBeUndefined();
    expect(await others(named("b"))).toBe("1");
    expect(await others(`${named("c")}x-piko-tenant-id: t\r\n`)).toBeUndefined();
    expect(await others("")).toBe("2");
    expect(rig.log.find("endpoint has several agents")).toMatchObject([{ "endpoint-id": "web", agents: 2 }]);
  });

  it("has none of that for Go agents", async () => {
    const rig = await start();
    rig.publicAddress.setProxyPort(8000, false);
    expect(await answerTo(rig, "web", "")).not.toContain("x-piko");
  });
});

describe("limits", () => {
  it("close connections beyond the maximum without a request", async () => {
    const rig = await start({ limits: { maxPendingConnections: 1 } });
    const first = await rig.connect();
    await eventually(() => rig.port.pendingCount === 1);
    const second = await rig.connect();
    expect(await second.over()).toBe("");
    expect(rig.hits).toEqual(["max_pending_connections"]);
    // A tunnel doesn't count as one of them.
    await first.send(upgradeRequest()).until(({ text }) => text !== "");
    expect(rig.port.pendingCount).toBe(0);
    await rig.agent();
  });

  it("apply per address, including tunnels, and refuse more connections once they send bytes", async () => {
    const rig = await start({ limits: { maxTunnelsPerClient: 2 } });
    await rig.agent();
    const pending = await rig.connect();
    await eventually(() => rig.port.highestClientCount === 2);
    const third = await rig.connect();
    await eventually(() => rig.hits.length > 0);
    expect(third.text).toBe("");
    const answer = await third.send("G").over();
    expect(statusOf(answer)).toBe("429");
    expect(answer).toContain("max_tunnels_per_client");
    expect(answer).toContain("Retry-After: 1\r\n");
    expect(rig.hits).toEqual(["max_tunnels_per_client"]);
    // Other addresses have their own limit, and a place becomes free when a connection ends.
    expect(
      statusOf(
        (await (await rig.connect("127.0.0.2")).send(upgradeRequest()).until(({ text }) => text !== "")).text,
      ),
    ).toBe("101");
    pending.socket.end();
    await eventually(() => rig.port.highestClientCount === 1);
    await rig.agent();
  });

  it("wait two seconds for the bytes of a refused connection, and count it only as refused", async () => {
    const rig = await start({ limits: { maxTunnelsPerClient: 0 } });
    const peer = await rig.connect();
    await eventually(() => rig.port.pendingCount === 1);
    rig.clock.advance(1_999);
    expect(peer.end).toBeUndefined();
    rig.clock.advance(250);
    expect(await peer.over()).toBe("");
    expect(rig.hits).toEqual(["max_tunnels_per_client"]);
  });

  it("answer up to MAX_REFUSED refused connections at a time, and just close further ones", async () => {
    const rig = await start({ limits: { maxTunnelsPerClient: 0 } });
    const refused: PortPeer[] = [];
    while (refused.length < MAX_REFUSED) refused.push(await rig.connect());
    await eventually(() => rig.port.pendingCount === MAX_REFUSED);
    expect(await (await rig.connect()).over()).toBe("");
    expect(rig.port.pendingCount).toBe(MAX_REFUSED);
    // A place becomes free when a refused connection ends.
    expect(statusOf((await refused[0]?.send("G").over()) ?? "")).toBe("429");
    await eventually(() => rig.port.pendingCount === MAX_REFUSED - 1);
    expect(statusOf(await (await rig.connect()).send("G").over())).toBe("429");
  });

  it.each<[string, Partial<TenantConfig>]>([
    ["tenant_max_tunnels", { maxTunnels: 1 }],
    ["tenant_max_endpoints", { maxEndpoints: 1 }],
  ])("apply to each tenant: %s", async (limit, limits) => {
    const tenant: TenantConfig = { ...UNLIMITED_TENANT, ...limits };
    const rig = await start({ tenants: [tenant] });
    const of = (endpoint: string, tenantId: string): string =>
      upgradeRequest(endpoint, `x-piko-tenant-id: ${tenantId}\r\n`);
    const first = await rig.rawAgent(of("e", "a"));
    const answer = await rig.refusal(of("f", "a"));
    expect(statusOf(answer)).toBe("503");
    expect(answer).toContain(`too many tunnels (${limit})`);
    expect(rig.hits).toEqual([limit]);
    await rig.rawAgent(of("f", "b"));
    first.socket.destroy();
    await eventually(() => rig.upstreams.tunnelCount === 1);
    await rig.rawAgent(of("f", "a"));
  });

  it("don't apply per address to trusted proxies, which carry many agents", async () => {
    const rig = await start({ limits: { maxTunnelsPerClient: 1 }, trustedProxies: ["127.0.0.0/8"] });
    await rig.agent();
    await rig.agent();
    expect([rig.tunnels.length, rig.port.highestClientCount]).toEqual([2, 0]);
  });

  it("refuse connections when the process is short of file descriptors, and close them when it is out of them", async () => {
    for (const [limit, answer] of [
      // The descriptor of an accepted socket is above the first limit, and within the reserve of the second.
      [0, ""],
      [64, "503"],
    ] as const) {
      const rig = await start({ files: new OpenFiles(limit) });
      const peer = await rig.connect();
      const text = await peer.send("G").over();
      expect(statusOf(text)).toBe(answer);
      expect(text.includes("too many connections (open_files)")).toBe(answer !== "");
      expect(rig.hits).toEqual(["open_files"]);
      await rig[Symbol.asyncDispose]();
    }
  });
});

describe("a tunnel", () => {
  const FIELDS = { "endpoint-id": "e", "client-ip": "127.0.0.1" };

  it("is logged and announced to other nodes when it opens and when it ends", async () => {
    const rig = await start();
    const agent = await rig.agent();
    expect(await rig.log.line("upstream connected")).toMatchObject(FIELDS);
    expect(rig.upstreams.find("e")?.select(undefined)).toBe(rig.tunnel);
    agent.session.close();
    const line = await rig.log.line("upstream disconnected");
    expect(line).toMatchObject({ level: "info", ...FIELDS });
    expect(rig.announced).toEqual(["e 1", "e 0"]);
    expect(rig.upstreams.find("e")).toBeUndefined();
  });

  it("whose agent vanishes is logged with the reason", async () => {
    const rig = await start();
    const peer = await rig.rawAgent();
    peer.socket.resetAndDestroy();
    const line = await rig.log.line("upstream disconnected");
    expect(line).toMatchObject({ level: "warn", ...FIELDS });
    expect(line["error"]).toMatch(/ECONNRESET/);
  });

  it("whose agent ends without a Close is logged as a normal end", async () => {
    const rig = await start();
    const peer = await rig.rawAgent();
    peer.socket.end();
    expect(await rig.log.line("upstream disconnected")).toMatchObject({ level: "info" });
  });

  it("whose agent answers no ping is ended, counted and logged", async () => {
    const rig = await start({ limits: { pingIntervalMs: 5_000, pingTimeoutMs: 1_000 } });
    const peer = await rig.rawAgent();
    rig.clock.advance(6_000);
    expect(rig.tunnel.usable).toBe(false);
    await peer.over();
    expect(await rig.log.line("upstream disconnected")).toMatchObject({ level: "warn" });
    expect(rig.hits).toEqual(["ping_timeout"]);
    expect(rig.announced).toEqual(["e 1", "e 0"]);
  });

  it("whose agent accepts no stream is ended, counted and logged, even if it answers pings", async () => {
    const rig = await start();
    const peer = await rig.rawAgent();
    const lost: string[] = [];
    const handler = { onData() {}, onEnd() {}, onWritable() {}, onReset: () => void lost.push("lost") };
    rig.tunnel.openStream(handler)?.flushFlags();
    for (let seconds = 0; seconds < 120 && lost.length === 0; seconds += 5) {
      // The response to a ping, in a message whose mask is zero.
      const { length } = peer.text;
      peer.send("\u0082\u008c\0\0\0\0\0\u0002\0\u0001\0\0\0\0\0\0\0\0");
      await peer.until(({ text }) => text.length > length);
      rig.clock.advance(5_000);
    }
    expect(lost).toEqual(["lost"]);
    await peer.over();
    await rig.log.line("upstream disconnected");
    expect(rig.hits).toEqual(["open_timeout"]);
  });

  it("whose agent violates the protocol is ended and logged", async () => {
    const rig = await start();
    const peer = await rig.rawAgent();
    peer.send("\u0082\u008c\0\0\0\0\u0009\u0009\0\0\0\0\0\0\0\0\0\0");
    await peer.over();
    expect((await rig.log.line("upstream disconnected"))["error"]).toMatch(/yamux: version 9/);
    expect(rig.hits).toEqual([]);
  });

  it("of a stopping agent gets requests only if there is no other", async () => {
    const rig = await start();
    const leaving = await rig.agent();
    await rig.agent();
    leaving.session.goAway();
    expect(await rig.log.line("upstream draining")).toMatchObject(FIELDS);
    expect(rig.announced).toEqual(["e 1", "e 2", "e 1"]);
    expect(rig.upstreams.find("e")?.active).toHaveLength(1);
    expect(rig.upstreams.drainingCount).toBe(1);
  });
});

describe("a stopping node", () => {
  it("accepts no more connections, and asks its agents to move before it ends their tunnels", async () => {
    const rig = await start();
    const agent = await rig.agent();
    const go = await rig.agent({ capable: false });
    rig.port.stopAccepting();
    const moved = rig.port.drain(0, 10_000);
    await agent.until("go away");
    await rig.log.line("upstream asked to move", 1);
    // Our agent closes its tunnel when it has moved; a Go agent is cut off when it is idle.
    agent.session.goAway();
    agent.session.close();
    await go.until("yamux: peer ended the session: internal error");
    await eventually(() => rig.upstreams.tunnelCount === 0);
    rig.clock.advance(50);
    await moved;
    expect(rig.announced.at(-1)).toBe("e 0");
    await expect(rig.connect()).rejects.toThrow(/ECONNREFUSED/);
  });

  it("ends the remaining tunnels so that every agent reconnects", async () => {
    const rig = await start();
    const agents = [await rig.agent(), await rig.agent({ capable: false })];
    const pending = await rig.connect();
    await eventually(() => rig.port.pendingCount === 1);
    rig.port.close();
    rig.port.close();
    for (const agent of agents) await agent.until("yamux: peer ended the session: internal error");
    expect(await pending.over()).toBe("");
    await eventually(() => rig.upstreams.tunnelCount === 0);
  });

  it("drops connections that don't end", async () => {
    const rig = await start();
    const peer = await rig.rawAgent();
    rig.port.destroy();
    await peer.over();
    await eventually(() => rig.upstreams.tunnelCount === 0);
    expect(rig.announced).toEqual(["e 1", "e 0"]);
  });
});
