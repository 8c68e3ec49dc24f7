import { type ChildProcessWithoutNullStreams, execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { View } from "@piko/testkit";
import { systemClock } from "@piko/tunnel";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { formatHostPort } from "../base/address.js";
import { Gossip } from "./gossip.js";
import { UdpTcpTransport } from "./transport/udp-tcp-transport.js";

const SOURCE = fileURLToPath(new URL("../../../../tests/interop/gossip-peer/", import.meta.url));
const CACHE = fileURLToPath(new URL("../../../../tests/interop/.cache/", import.meta.url));
const hasGo = spawnSync("go", ["version"]).status === 0;
if (!hasGo) {
  if (process.env["CI"] === "true") throw new Error("needs go, which is not installed");
  process.stderr.write("skipped: the Go gossip peer needs go, which is not installed\n");
}

let program = "";

/** Builds the peer, unless this exact source has been built already. */
function build(): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(SOURCE).toSorted())
    hash.update(name).update(readFileSync(join(SOURCE, name)));
  const path = join(CACHE, `gossip-peer-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  execFileSync("go", ["build", "-o", `${path}.${process.pid}`, "."], {
    cwd: SOURCE,
    stdio: ["ignore", "ignore", "inherit"],
  });
  renameSync(`${path}.${process.pid}`, path);
  return path;
}

type Line = Readonly<Record<string, unknown>>;

/** A running Go peer and its output. */
class GoPeer {
  readonly lines: Line[] = [];
  readonly #child: ChildProcessWithoutNullStreams;

  constructor(id: string) {
    this.#child = spawn(program, ["--id", id]);
    createInterface({ input: this.#child.stdout }).on("line", (line) =>
      this.lines.push(JSON.parse(line) as Line),
    );
  }

  async waitFor(expected: Line): Promise<Line> {
    return vi.waitFor(
      () => {
        const line = this.lines.find((each) =>
          Object.entries(expected).every(([key, value]) => each[key] === value),
        );
        if (line === undefined) throw new Error(`the Go peer has not said ${JSON.stringify(expected)}`);
        return line;
      },
      { timeout: 15_000, interval: 10 },
    );
  }

  async addr(): Promise<string> {
    return String((await this.waitFor({ msg: "listening" }))["addr"]);
  }

  send(command: string): void {
    this.#child.stdin.write(`${command}\n`);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGKILL");
    await closed;
  }
}

const open: { close(): Promise<void> }[] = [];

async function startNode(id: string): Promise<{ gossip: Gossip; view: View }> {
  const transport = await UdpTcpTransport.listen({ host: "127.0.0.1", port: 0 });
  const view = new View(id);
  const gossip = new Gossip({
    nodeId: id,
    addr: formatHostPort(transport.address),
    transport,
    watch: view,
    clock: systemClock,
    random: Math.random,
  });
  open.push(gossip);
  gossip.start();
  return { gossip, view };
}

function startPeer(id: string): GoPeer {
  const peer = new GoPeer(id);
  open.push(peer);
  return peer;
}

async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 15_000, interval: 10 });
}

describe.skipIf(!hasGo)("a Go peer", { timeout: 60_000 }, () => {
  beforeAll(() => {
    program = build();
  }, 300_000);

  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
  });

  it("joins a cluster of ours, exchanges keys both ways, and leaves", async () => {
    const a = await startNode("a");
    const b = await startNode("b");
    await b.gossip.join([a.gossip.addr]);
    a.gossip.upsertLocal("proxy_addr", "127.0.0.1:8000");
    const peer = startPeer("gonode");
    await peer.addr();
    peer.send("upsert endpoint:before 1");
    peer.send(`join ${a.gossip.addr}`);
    await peer.waitFor({ msg: "joined", id: "a" });
    await peer.waitFor({ msg: "upsert", id: "a", key: "proxy_addr", value: "127.0.0.1:8000" });
    await peer.waitFor({ msg: "join", id: "b" });
    await until(() => a.view.nodes.get("gonode")?.keys.get("endpoint:before") === "1");
    await until(() => b.view.nodes.get("gonode")?.keys.get("endpoint:before") === "1");
    b.gossip.upsertLocal(`endpoint:${"x".repeat(1_000)}`, "2");
    await peer.waitFor({ msg: "upsert", id: "b", key: `endpoint:${"x".repeat(1_000)}`, value: "2" });
    b.gossip.deleteLocal(`endpoint:${"x".repeat(1_000)}`);
    await peer.waitFor({ msg: "delete", id: "b" });
    peer.send("upsert endpoint:after 3");
    peer.send("delete endpoint:before");
    await until(() => [...(b.view.nodes.get("gonode")?.keys ?? [])].join() === "endpoint:after,3");
    peer.send("leave");
    await peer.waitFor({ msg: "notified", id: "a" });
    await peer.waitFor({ msg: "notified", id: "b" });
    await until(() => a.view.nodes.get("gonode")?.left === true && b.view.nodes.get("gonode")?.left === true);
    expect(peer.lines.filter(({ msg }) => msg === "invalid" || msg === "failed")).toEqual([]);
  });

  it("is joined by ours, learns that ours leaves, and understands our compaction", async () => {
    const peer = startPeer("gonode");
    const a = await startNode("a");
    a.gossip.upsertLocal("_internal:private", "1", { internal: true });
    expect(await a.gossip.join([await peer.addr()])).toMatchObject({
      outcome: "joined",
      nodeIds: ["gonode"],
    });
    for (let i = 0; i < 150; i++) a.gossip.upsertLocal(`endpoint:${i}`, "1");
    // By packets alone: 150 entries need several packets, and Go accepts one per answer.
    await peer.waitFor({ msg: "upsert", id: "a", key: "endpoint:149" });
    for (let i = 0; i < 149; i++) a.gossip.deleteLocal(`endpoint:${i}`);
    const compacted = await peer.waitFor({ msg: "compact", id: "a" });
    expect(compacted["entries"]).toBe(3);
    expect(peer.lines.filter(({ msg, key }) => msg === "delete" && key === "endpoint:149")).toEqual([]);
    expect(await a.gossip.leave()).toBe(1);
    await peer.waitFor({ msg: "leave", id: "a" });
    expect(peer.lines.filter(({ msg }) => msg === "invalid" || msg === "failed")).toEqual([]);
  });

  it("that is killed is unreachable within 3 s, and another one's memory doesn't bring it back", async () => {
    const a = await startNode("a");
    const [first, second] = [startPeer("gofirst"), startPeer("gosecond")];
    await Promise.all([first.addr(), second.addr()]);
    first.send(`join ${a.gossip.addr}`);
    second.send(`join ${a.gossip.addr}`);
    await until(() => a.view.routable().length === 2);
    await first.waitFor({ msg: "join", id: "gosecond" });
    const killed = performance.now();
    await first.close();
    await until(() => a.view.nodes.get("gofirst")?.unreachable === true);
    expect(performance.now() - killed).toBeLessThan(3_000);
    await second.waitFor({ msg: "reachable", id: "gofirst", reachable: false });
    expect(a.view.routable()).toEqual(["gosecond"]);
  });
});
