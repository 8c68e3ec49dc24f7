// Encrypted gossip: turned on, its keys replaced, and turned off again under load; which nodes are kept out; and what an
// eavesdropper sees. The long run takes every step, the short one only those that change what is sent.

import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { adminJson, launchServer, type ListedNode, startCluster } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { GossipRelay } from "../harness/gossip-relay.js";
import { LONG } from "../harness/long-run.js";
import { metric } from "../harness/metrics.js";
import { PIKO, type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const scene = perTest();
const QUICK = { "drain-delay": "500ms", "drain-window": "500ms" };
const KEY = randomBytes(32).toString("base64");

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "piko-keys-"));
  scene.defer(() => rmSync(directory, { recursive: true, force: true }));
});

/**
 * Two files that change at the same time, as those of a Kubernetes Secret do: they are reached through a symbolic link, which
 * is moved.
 */
class KeyFiles {
  readonly paths: readonly [string, string];
  readonly #directory: string;
  #count = 0;

  constructor(directory: string) {
    this.#directory = directory;
    this.paths = [join(directory, "data", "one"), join(directory, "data", "two")];
  }

  write(one: string, two: string): void {
    const name = `${++this.#count}`;
    const folder = join(this.#directory, name);
    mkdirSync(folder);
    writeFileSync(join(folder, "one"), one);
    writeFileSync(join(folder, "two"), two);
    symlinkSync(name, join(this.#directory, "next"));
    renameSync(join(this.#directory, "next"), join(this.#directory, "data"));
  }
}

function dropped(server: RunningServer, reason: string): Promise<number | undefined> {
  return metric(server.admin, `piko_gossip_dropped_total{reason="${reason}"}`);
}

/** Log lines about lost nodes or dropped messages. */
function complaints(servers: readonly RunningServer[]): string[] {
  return servers.flatMap(({ program }) =>
    program.lines
      .map(({ text }) => text)
      .filter((text) => /unreachable|gossip message dropped|clock differs/.test(text)),
  );
}

describe("a cluster under load", () => {
  it("has no failed request while encryption is turned on and off and a key is replaced", async () => {
    const service = await Service.start(scene);
    const newKey = randomBytes(32).toString("base64");
    const files = new KeyFiles(directory);
    files.write(KEY, KEY);
    const encryption = (mode: string): Record<string, string> => ({ "cluster.gossip.encryption": mode });
    const keys = { "cluster.gossip.secret-key-files": files.paths.join(",") };
    const cluster = await RollingCluster.start(scene, {
      ...QUICK,
      ...(LONG ? encryption("off") : { ...encryption("prefer"), ...keys }),
    });
    for (let i = 0; i < 2; i++)
      await startAgent(scene, cluster.balancer.upstream, "web", service.addr, {
        flags: ["--access-log.disable"],
      });
    await cluster.untilKnown("web");
    const traffic = Traffic.start(
      scene,
      cluster.balancer.proxy,
      "web",
      LONG ? { get: 200, post: 100 } : { get: 40, post: 20 },
    );
    if (LONG) {
      await cluster.roll({ ...encryption("accept"), ...keys });
      await cluster.roll(encryption("prefer"));
    }
    await cluster.roll(encryption("required"));
    // The files change so that the new key is first added after the old one, then moved in front of it; finally the old one
    // is removed.
    for (const [first, second] of [
      [KEY, newKey],
      [newKey, KEY],
      [newKey, newKey],
    ] as const) {
      const seen = cluster.nodes.map(({ program }) => program.lines.length);
      files.write(first, second);
      const is = (text: string): boolean => text.includes("gossip keys replaced");
      for (const [i, { program }] of cluster.nodes.entries()) {
        await program.waitForLine(({ text }) => is(text), "replaced keys", { from: seen[i] ?? 0 });
      }
    }
    if (LONG) {
      await cluster.roll(encryption("prefer"));
      await cluster.roll(encryption("accept"));
      await cluster.roll(encryption("off"));
    }
    const { counts, failures } = await traffic.stop();
    console.info(`${cluster.past.length} nodes: ${JSON.stringify(counts)}`);
    expect(failures.slice(0, 20)).toEqual([]);
    expect(counts["get"]).toBeGreaterThan(200);
    expect(complaints(cluster.past)).toEqual([]);
    for (const node of cluster.nodes) {
      for (const reason of ["plain", "key", "replay", "clock", "malformed"])
        expect(await dropped(node, reason)).toBe(0);
    }
  }, 600_000);
});

describe("a cluster with keys", () => {
  const REQUIRED = { "cluster.gossip.encryption": "required", "cluster.gossip.secret-keys": KEY };

  it("shows eavesdroppers no endpoint names, no addresses and no node ids", async () => {
    const service = await Service.start(scene);
    const relays = [await GossipRelay.start(scene), await GossipRelay.start(scene)] as const;
    const nodes: RunningServer[] = [];
    for (const [i, relay] of relays.entries()) {
      const node = await startServer(scene, {
        ...REQUIRED,
        "cluster.node-id": `secret-node-${i}`,
        "cluster.gossip.advertise-addr": relay.addr,
        ...(i === 0 ? {} : { "cluster.join": relays[0].addr }),
      });
      relay.target = node.gossip;
      nodes.push(node);
    }
    const [a, b] = nodes as [RunningServer, RunningServer];
    await startAgent(scene, a.upstream, "secret-endpoint", service.addr);
    await eventually(async () => {
      const listed = await adminJson<ListedNode[]>(b, "/status/cluster/nodes");
      return listed.find(({ id }) => id === "secret-node-0")?.endpoints === 1;
    }, "the endpoint at the other node");
    await eventually(() => relays.every(({ captured }) => captured.length > 30), "gossip on the wire");
    const words = [
      "secret-",
      "endpoint",
      "127.0.0.1",
      "addr",
      ...[a, b].flatMap(({ proxy, admin }) => [proxy, admin]),
    ];
    for (const { captured } of relays) {
      const all = Buffer.concat(captured).toString("latin1");
      for (const word of words) expect(all).not.toContain(word);
    }
    for (const node of nodes) expect(await dropped(node, "malformed")).toBe(0);
    // Without encryption, the same words are visible.
    const relay = await GossipRelay.start(scene);
    const flags = { "cluster.node-id": "secret-node-9", "cluster.gossip.advertise-addr": relay.addr };
    const plain = await startServer(scene, flags);
    relay.target = plain.gossip;
    await startServer(scene, { "cluster.join": relay.addr });
    await eventually(() => Buffer.concat(relay.captured).includes("secret-node-9"), "plain gossip");
  });

  it("drops copies of messages, from whatever address they are sent", async () => {
    const relay = await GossipRelay.start(scene);
    const [a] = await startCluster(scene, ["a"], REQUIRED);
    const b = await startServer(scene, {
      ...REQUIRED,
      "cluster.node-id": "b",
      "cluster.join": a.gossip,
      "cluster.gossip.advertise-addr": relay.addr,
    });
    relay.target = b.gossip;
    // Earlier ones didn't reach the node, so their copies would be new to it.
    const passed = relay.packets.length;
    await eventually(() => relay.packets.length > passed + 50, "packets");
    const copies = relay.packets.slice(passed, passed + 50);
    const { createSocket } = await import("node:dgram");
    const socket = createSocket("udp4");
    scene.defer(async () => void socket.close());
    const [host = "", port] = b.gossip.split(":");
    for (const copy of copies) socket.send(copy, Number(port), host);
    await eventually(async () => (await dropped(b, "replay")) === 50, "50 copies");
    const names = await adminJson<ListedNode[]>(b, "/status/cluster/nodes");
    expect(names.map(({ status }) => status)).toEqual(["active", "active"]);
  });

  it.each([
    [
      "another key",
      { ...REQUIRED, "cluster.gossip.secret-keys": randomBytes(32).toString("base64") },
      "key",
      "it doesn't have the key",
    ],
    ["no key", {}, "plain", "it accepts encrypted gossip only"],
    [
      "another cluster name",
      { ...REQUIRED, "cluster.name": "other" },
      "malformed",
      "is its cluster.name another one?",
    ],
  ] as const)("refuses and counts a node with %s; both log why", async (_what, flags, reason, logged) => {
    const [a] = await startCluster(scene, ["a"], REQUIRED);
    const x = launchServer(scene, { ...flags, "cluster.join": a.gossip, "cluster.join-timeout": "20s" });
    await x.waitForLine(({ text }) => text.includes(logged), logged);
    await a.program.waitForLine(({ text }) => text.includes("gossip message dropped"), "its warning");
    expect(await dropped(a, reason)).toBeGreaterThan(0);
    expect((await adminJson<ListedNode[]>(a, "/status/cluster/nodes")).length).toBe(1);
    await x.kill();
  });

  it("refuses a node whose clock is 10 minutes off, and logs its id and the difference", async () => {
    const [a] = await startCluster(scene, ["a"], REQUIRED);
    const shift = join(directory, "shift.cjs");
    writeFileSync(shift, "const now = Date.now; Date.now = () => now() + 600_000;");
    const flags = { ...REQUIRED, "cluster.node-id": "late", "cluster.join": a.gossip };
    const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
      (port) => `--${port}.bind-addr=127.0.0.1:0`,
    );
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    const env = { NODE_OPTIONS: `--require ${shift}` };
    const x = startProgram(scene, "late", PIKO, ["server", "--log.format", "json", ...ports, ...args], {
      env,
    });
    await x.waitForLine(
      ({ text }) => /clock is (599|600)\.\d s behind this one's/.test(text),
      "the other's clock",
    );
    const { fields } = await a.program.waitFor(
      "a node's clock differs from this one's, its messages are dropped",
    );
    expect(fields["node-id"]).toBe("late");
    expect(Math.abs(Number(fields["ahead-ms"]) - 600_000)).toBeLessThan(10_000);
    expect(await dropped(a, "clock")).toBeGreaterThan(0);
  });

  it("loses a node whose key is removed from the other nodes' files", async () => {
    const path = join(directory, "key");
    const newKey = randomBytes(32).toString("base64");
    writeFileSync(path, KEY);
    const fromFile = { "cluster.gossip.encryption": "required", "cluster.gossip.secret-key-files": path };
    const [a] = await startCluster(scene, ["a"], fromFile);
    const x = await startServer(scene, { ...REQUIRED, "cluster.node-id": "x", "cluster.join": a.gossip });
    await eventually(
      async () => (await metric(a.admin, 'piko_cluster_nodes{status="active"}')) === 2,
      "two nodes",
    );
    writeFileSync(path, newKey);
    for (const node of [a, x]) {
      await eventually(
        async () => (await metric(node.admin, 'piko_cluster_nodes{status="active"}')) === 1,
        "one node",
      );
      expect(await dropped(node, "key")).toBeGreaterThan(0);
    }
    // A file that doesn't contain a key changes nothing.
    writeFileSync(path, "not a key");
    await a.program.waitForLine(({ text }) => text.includes("gossip keys can't be read again"), "the error");
    expect(a.program.lines.some(({ text }) => text.includes("not a key") || text.includes(newKey))).toBe(
      false,
    );
  });

  it("communicates only with allowed addresses, if any are configured", async () => {
    const allowed = { "cluster.gossip.allowed-cidrs": "192.0.2.0/24" };
    const [a] = await startCluster(scene, ["a"], allowed);
    const x = launchServer(scene, { "cluster.join": a.gossip, "cluster.join-timeout": "20s" });
    await x.waitForLine(({ text }) => text.includes("could not join cluster"), "a failed join");
    await eventually(async () => ((await dropped(a, "address")) ?? 0) > 0, "a dropped message");
    await x.kill();
  });
});
