// How nodes find each other by DNS: each on a host of its own, with a real name server, as in Kubernetes. Whatever the name
// server answers and when, the nodes end up in one cluster.

import { beforeEach, describe, expect, it } from "vitest";
import { activeNodes } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { haveNameServer, NameServer } from "../harness/name-server.js";
import { type Families, haveNetworkLab, type LabHost, NetworkLab } from "../harness/network-lab.js";
import { type RunningServer, startAgent, startServerOn } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const available = haveNameServer && (await haveNetworkLab());

/** The configured name is completed to this one by the search domains. */
const FULL = "piko.prod.svc.cluster.local";
/** Nodes that have started find each other after a few lookups; on a busy machine that takes longer. */
const FOUND_MS = 60_000;

let lab: NetworkLab;
let names: NameServer;

/** Hosts that use the name server. */
async function hosts(count: number, families: Families = "both"): Promise<LabHost[]> {
  const list: LabHost[] = [];
  for (let i = 0; i < count; i++) {
    const host = await lab.host(families);
    await names.serve(host, families === "ipv6" ? "ipv6" : "ipv4");
    list.push(host);
  }
  return list;
}

/** Starts a node on each host, all at the same time, with ids a, b, c and so on. */
function startAll(
  on: readonly LabHost[],
  flags: Readonly<Record<string, string>> = {},
): Promise<RunningServer[]> {
  return Promise.all(
    on.map((host, i) =>
      startServerOn(scene, host, { "cluster.node-id": idOf(i), "cluster.join": "piko", ...flags }),
    ),
  );
}

function idOf(index: number): string {
  return String.fromCodePoint(97 + index);
}

async function untilOne(servers: readonly RunningServer[]): Promise<void> {
  const all = servers.map((_, i) => idOf(i)).join(" ");
  for (const server of servers) {
    await eventually(async () => (await activeNodes(server)) === all, `${all} at ${server.admin}`, FOUND_MS);
    await eventually(() => isReady(server), `readiness of ${server.admin}`, FOUND_MS);
  }
}

async function isReady(server: RunningServer): Promise<boolean> {
  return (await fetch(`http://${server.admin}/ready`)).ok;
}

describe.skipIf(!available)("nodes that look for each other by name", () => {
  beforeEach(async () => {
    lab = await NetworkLab.create(scene);
    names = await NameServer.start(scene, await lab.host());
  });

  it("form one cluster by the name of a headless service, on the default ports", async () => {
    const all = await hosts(3);
    await names.set({ [FULL]: all.map(({ ipv4 }) => ipv4) });
    const servers = await startAll(all);
    await untilOne(servers);
    for (const { program } of servers) {
      expect(program.lines.filter(({ fields }) => fields["level"] === "error")).toEqual([]);
    }
  });

  it("serve while the name server is silent, and form one cluster once it answers", async () => {
    const all = await hosts(3);
    await names.set({ [FULL]: all.map(({ ipv4 }) => ipv4) });
    names.program.signal("SIGSTOP");
    const servers = await startAll(all);
    const [first] = servers;
    if (first === undefined) throw new Error("no server");
    const warned = await first.program.waitFor("could not join cluster, trying again", { ms: FOUND_MS });
    expect(warned.text).toContain("resolve piko: no answer within 5000 ms");
    expect(await isReady(first)).toBe(false);
    expect((await fetch(`http://${first.admin}/health`)).status).toBe(200);
    const unknown = await fetch(`http://${first.proxy}/`, { headers: { "x-piko-endpoint": "nobody" } });
    expect(unknown.status).toBe(502);
    names.program.signal("SIGCONT");
    await untilOne(servers);
  });

  it("form one cluster even if the name server had no addresses when they started", async () => {
    const all = await hosts(5);
    const servers = await startAll(all);
    for (const server of servers) {
      await server.program.waitFor("no other nodes found", { ms: FOUND_MS });
      await eventually(() => isReady(server), "readiness");
    }
    await names.set({ [FULL]: all.map(({ ipv4 }) => ipv4) });
    await untilOne(servers);
  });

  it("form one cluster even if each found only itself at first", async () => {
    const all = await hosts(3);
    const [first, ...others] = all;
    if (first === undefined) throw new Error("no host");
    await names.set({ [FULL]: [first.ipv4] });
    const servers = await startAll([first]);
    await servers[0]?.program.waitFor("no other nodes found");
    await names.set({ [FULL]: all.map(({ ipv4 }) => ipv4) });
    for (const [i, host] of others.entries())
      servers.push(
        await startServerOn(scene, host, { "cluster.node-id": idOf(i + 1), "cluster.join": "piko" }),
      );
    await untilOne(servers);
  });

  it("form one cluster despite records of hosts that are gone or silent", async () => {
    const all = await hosts(3);
    const silent = await lab.host();
    await silent.dropPacketsFrom(all);
    const gone = lab.address4(200);
    await names.set({ [FULL]: [gone, silent.ipv4, ...all.map(({ ipv4 }) => ipv4)] });
    await untilOne(await startAll(all));
  });

  it("need no IPv4", async () => {
    const all = await hosts(3, "ipv6");
    await names.set({ [FULL]: all.map(({ ipv6 }) => ipv6) });
    const servers = await startAll(all);
    await untilOne(servers);
    const [a, b] = servers;
    if (a === undefined || b === undefined) throw new Error("no servers");
    const service = await Service.start(scene);
    await startAgent(scene, b.upstream, "web", service.addr);
    await eventually(async () => {
      const response = await fetch(`http://${a.proxy}/item?i=1`, { headers: { "x-piko-endpoint": "web" } });
      return response.status === 200 && (await response.text()) === "item 1";
    }, "an answer over the hop");
    const nodes = await (await fetch(`http://${a.admin}/status/cluster/nodes/b`)).json();
    expect(nodes).toMatchObject({ proxy_addr: b.proxy, admin_addr: b.admin });
  });

  it("may have several addresses of both families", async () => {
    const all = await hosts(3);
    await names.set({ [FULL]: all.flatMap(({ ipv4, ipv6 }) => [ipv6, ipv4]) });
    const servers = await startAll(all);
    await untilOne(servers);
    for (const server of servers) {
      const gossip = (await (await fetch(`http://${server.admin}/status/gossip/nodes`)).json()) as object[];
      expect(gossip).toHaveLength(3);
    }
  });

  it("may be configured by names and addresses, with and without ports, even if some are wrong", async () => {
    const all = await hosts(5);
    const [first, second] = all;
    if (first === undefined || second === undefined) throw new Error("no host");
    await names.set({ [FULL]: [first.ipv4] });
    const lists = [
      "piko",
      "no-such-name.invalid,piko:8003",
      `no-such-name.invalid:1,${lab.address4(201)},piko.prod`,
      `refused.example.com,${first.ipv4},${second.ipv6}`,
      `[${first.ipv6}]:8003,${first.ipv4}:8003,[${second.ipv6}]`,
    ];
    const servers = await Promise.all(
      all.map((host, i) =>
        startServerOn(scene, host, { "cluster.node-id": idOf(i), "cluster.join": lists[i] ?? "" }),
      ),
    );
    await untilOne(servers);
    for (const { program } of servers.slice(1)) await program.waitFor("joined cluster");
  });

  it("continue alone if their own address is among the records and no other node answers", async () => {
    const [host] = await hosts(1);
    if (host === undefined) throw new Error("no host");
    await names.set({ [FULL]: [host.ipv4, lab.address4(202)] });
    const server = await startServerOn(scene, host, { "cluster.join": "piko" });
    expect(await isReady(server)).toBe(false);
    await eventually(() => isReady(server), "readiness", FOUND_MS);
    await server.program.waitFor("could not join cluster, continuing alone");
  });

  it("find new nodes after all records were replaced", async () => {
    const all = await hosts(4);
    const [a, b, c, d] = all;
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error("no host");
    await names.set({ [FULL]: [b.ipv4] });
    const [survivor, old] = await startAll([a, b]);
    if (survivor === undefined || old === undefined) throw new Error("no servers");
    await untilOne([survivor, old]);
    await old.program.kill();
    await names.set({ [FULL]: [c.ipv4, d.ipv4] });
    // The new nodes join each other. They find the survivor only because it looks for new addresses.
    for (const [id, host] of [
      ["c", c],
      ["d", d],
    ] as const)
      await startServerOn(scene, host, { "cluster.node-id": id, "cluster.join": "piko" });
    await eventually(async () => (await activeNodes(survivor)) === "a c d", "the new nodes", FOUND_MS);
  });

  it("stop at SIGTERM while the name server is silent", async () => {
    const [host] = await hosts(1);
    if (host === undefined) throw new Error("no host");
    names.program.signal("SIGSTOP");
    const server = await startServerOn(scene, host, { "cluster.join": "piko" });
    expect(await isReady(server)).toBe(false);
    server.program.signal("SIGTERM");
    // The system's own resolver would keep the process alive for twenty seconds or more.
    await server.program.stopped();
    names.program.signal("SIGCONT");
  });
});
