// Peers that are refused, or that refuse the other side: our agents and forwarders, Go's, and nodes.

import type { KeyPair } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { buildGoPeer, haveGo } from "../harness/go-peer.js";
import { curlTls, goTlsFlags, MutualTls, tlsFlags, type TlsSide } from "../harness/mutual-tls.js";
import { piko, type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { type Program, startProgram } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();
const tls = new MutualTls(stage);
const theirs = tls.workshop.authority("theirs");
const PAST = { from: "20200101000000Z", until: "20200201000000Z" };
const FUTURE = { from: "20700101000000Z", until: "20700201000000Z" };

function client(authority: KeyPair, name: string, times = {}): TlsSide {
  return {
    ...tls.workshop.sign(authority, name, { usage: "clientAuth", ...times }),
    cas: tls.ca.cert,
  };
}

/** Certificates of agents and nodes that are refused; without a file, they present none. */
const STRANGERS: Readonly<Record<string, TlsSide>> = {
  "no certificate": { cert: "", key: "", cas: tls.ca.cert },
  "another authority's certificate": client(theirs, "foreign"),
  "an expired certificate": client(tls.ca, "expired", PAST),
  "a certificate that isn't valid yet": client(tls.ca, "early", FUTURE),
};

function server(name: string, authority: KeyPair, options = {}): TlsSide {
  return { ...tls.workshop.sign(authority, name, options), cas: tls.ca.cert };
}

/** Certificates of servers that agents refuse. */
const IMPOSTORS: Readonly<Record<string, TlsSide>> = {
  "another authority's certificate": server("foreign-server", theirs),
  "an expired certificate": server("expired-server", tls.ca, PAST),
  "a certificate for another name": server("elsewhere", tls.ca, { names: "DNS:elsewhere.test" }),
};

/** Starts an agent that the server refuses, or that refuses the server. */
async function launchAgent(kind: string, upstream: string, side: TlsSide): Promise<Program> {
  const url = `https://${upstream}`;
  if (kind === "ours") {
    const flags = tlsFlags("connect", side).filter((_, at, all) => all[at - (at % 2) + 1] !== "");
    return piko(scene, "agent", ["agent", "http", "web", "127.0.0.1:1", "--connect.url", url, ...flags]);
  }
  const args = ["agent", "--url", url, "--endpoint", "web", "--target", "127.0.0.1:1", ...goTlsFlags(side)];
  return startProgram(scene, "go agent", await buildGoPeer(), args);
}

async function text({ admin }: RunningServer, path: string): Promise<string> {
  return await (await fetch(`http://${admin}${path}`)).text();
}

async function refused(at: RunningServer, port: string, reason: string): Promise<number> {
  const series = new RegExp(`^piko_tls_refused_total\\{port="${port}",reason="${reason}"\\} (\\d+)$`, "m");
  return Number(series.exec(await text(at, "/metrics"))?.[1] ?? 0);
}

describe.each(["ours", ...(haveGo ? ["Go's"] : [])])("an agent (%s)", (kind) => {
  it.each(Object.keys(STRANGERS))("is refused with %s", async (name) => {
    const at = await startServer(scene, tls.flags(["upstream"]));
    const agent = await launchAgent(kind, at.upstream, STRANGERS[name] as TlsSide);
    await eventually(async () => (await refused(at, "upstream", "certificate")) > 1, "two refusals");
    expect(agent.lines.some(({ fields }) => fields["msg"] === "connected")).toBe(false);
    expect(await text(at, "/status/upstream/endpoints")).not.toContain("web");
  });

  it.each(Object.keys(IMPOSTORS))("doesn't connect to a server with %s", async (name) => {
    const at = await startServer(scene, tls.flags(["upstream"], IMPOSTORS[name]));
    const agent = await launchAgent(kind, at.upstream, tls.client);
    // It is the agent that ends the handshake.
    await eventually(async () => (await refused(at, "upstream", "handshake")) > 1, "two tries");
    expect(agent.lines.some(({ fields }) => fields["msg"] === "connected")).toBe(false);
    expect(await text(at, "/status/upstream/endpoints")).not.toContain("web");
  });
});

describe("a node", () => {
  it.each(Object.keys(STRANGERS))("can't forward to another node with %s", async (name) => {
    const service = await Service.start(scene);
    const owner = await startServer(scene, { ...tls.flags(["proxy"]), "cluster.node-id": "owner" });
    await startAgent(scene, owner.upstream, "web", service.addr);
    const flags = Object.entries(tls.flags(["proxy"], tls.server, STRANGERS[name] as TlsSide));
    const other = await startServer(scene, {
      ...Object.fromEntries(flags.filter(([, value]) => value !== "")),
      "cluster.join": owner.gossip,
      // No agent will return here, so waiting would be pointless.
      "proxy.reconnect-wait": "0s",
    });
    await untilEndpoints(other, "owner", 1);
    const ask = async (at: RunningServer): Promise<string> => {
      const url = `https://${at.proxy}/item?i=1`;
      const args = [...curlTls(tls.client), "-w", " %{http_code}", "-H", "x-piko-endpoint: web", url];
      return (await run("curl", args)).stdout;
    };
    expect(await ask(owner)).toBe("item 1 200");
    expect(await ask(other)).toMatch(/ 502$/);
    expect(await refused(owner, "proxy", "certificate")).toBeGreaterThan(0);
    expect(service.requests).toHaveLength(1);
  });

  it.each(Object.keys(IMPOSTORS))("doesn't forward to another node that presents %s", async (name) => {
    const service = await Service.start(scene);
    const impostor = tls.flags(["proxy"], IMPOSTORS[name]);
    const owner = await startServer(scene, { ...impostor, "cluster.node-id": "owner" });
    await startAgent(scene, owner.upstream, "web", service.addr);
    const other = await startServer(scene, {
      ...tls.flags(["proxy"]),
      "cluster.join": owner.gossip,
      "proxy.reconnect-wait": "0s",
    });
    await untilEndpoints(other, "owner", 1);
    const url = `https://${other.proxy}/item?i=1`;
    const args = [...curlTls(tls.client), "-w", " %{http_code}", "-H", "x-piko-endpoint: web", url];
    expect((await run("curl", args)).stdout).toMatch(/ 502$/);
    expect(service.requests).toHaveLength(0);
  });
});
