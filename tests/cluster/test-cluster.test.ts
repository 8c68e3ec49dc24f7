// `piko test cluster`: forms a cluster behind its balancer, changes its size, and replaces its nodes under load.

import { writeFile } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { beforeEach, describe, expect, it } from "vitest";
import type { ListedNode } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { piko, startAgent } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();

interface TestCluster {
  readonly program: Program;
  readonly proxy: string;
  readonly upstream: string;
  readonly admin: string;
}

async function startTestCluster(flags: Readonly<Record<string, string>>): Promise<TestCluster> {
  const ports = ["proxy", "upstream", "admin"].map((port) => `--${port}.bind-addr=127.0.0.1:0`);
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const program = piko(scene, "cluster", ["test", "cluster", ...ports, ...args]);
  const { fields } = await program.waitFor("cluster started");
  return { program, ...(fields as Omit<TestCluster, "program">) };
}

/** Ids of the active nodes, oldest first, as reported by one of the nodes. */
async function activeNodes({ admin }: TestCluster): Promise<string> {
  const nodes = JSON.parse(await ask(admin, "/status/cluster/nodes")) as ListedNode[];
  const active = nodes.filter(({ status }) => status === "active");
  return active
    .map(({ id }) => id)
    .sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)))
    .join(" ");
}

/** The body of a 200 response, over a connection of its own, because a balancer chooses a node once for each connection. */
async function ask(addr: string, path: string): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = { agent: false, headers: { "x-piko-endpoint": "web" } };
    get(`http://${addr}${path}`, options, resolve).on("error", reject);
  });
  const body = await text(response);
  if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${body}`);
  return body;
}

/** Sends requests until `stop` is called, which returns the failures. */
function keepAsking({ proxy }: TestCluster): {
  more: (count: number) => Promise<unknown>;
  stop: () => Promise<string[]>;
} {
  const failures: string[] = [];
  let count = 0;
  const stop = new AbortController();
  scene.defer(() => stop.abort());
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await ask(proxy, `/item?i=${count}`).catch((error: unknown) => failures.push(String(error)));
      count++;
    }
  };
  const done = Promise.all([loop(), loop(), loop()]);
  return {
    more: (requests) => {
      const until = count + requests;
      return eventually(() => count >= until, `${requests} more answers`);
    },
    stop: async () => {
      stop.abort();
      await done;
      return failures;
    },
  };
}

describe("a test cluster", () => {
  let service: Service;
  beforeEach(async () => {
    service = await Service.start(scene);
  });

  it("is one cluster behind one balancer, and stops gracefully", async () => {
    const cluster = await startTestCluster({});
    await startAgent(scene, cluster.upstream, "web", service.addr);
    for (let i = 0; i < 20; i++) expect(await ask(cluster.proxy, `/item?i=${i}`)).toBe(`item ${i}`);
    await eventually(async () => (await activeNodes(cluster)) === "node-1 node-2 node-3", "three nodes");
    expect(await ask(cluster.admin, "/ready?forward=node-2")).toBe("");
  });

  it("changes its size at SIGHUP, and keeps it if the file is invalid", async () => {
    const path = join(await scene.directory(), "cluster.yaml");
    const resize = async (content: string, expected: string): Promise<void> => {
      const from = cluster.program.lines.length;
      await writeFile(path, content);
      cluster.program.signal("SIGHUP");
      const line = await cluster.program.waitForLine(
        ({ fields }) => /reload/.test(String(fields["msg"])),
        "a reload",
        { from },
      );
      expect(line.fields["msg"]).toBe(expected);
    };
    await writeFile(path, "nodes: 1\n");
    const cluster = await startTestCluster({ "config.path": path });
    await startAgent(scene, cluster.upstream, "web", service.addr);
    const load = keepAsking(cluster);
    await load.more(10);
    await resize("nodes: 3\n", "configuration reloaded");
    await load.more(20);
    await resize("nodes: 0\n", "could not reload configuration");
    await eventually(async () => (await activeNodes(cluster)) === "node-1 node-2 node-3", "three nodes");
    await resize("nodes: 2\n", "configuration reloaded");
    await eventually(async () => (await activeNodes(cluster)) === "node-2 node-3", "the two that are left");
    await load.more(20);
    expect(await load.stop()).toEqual([]);
  });

  it("replaces its nodes under load without a failed request", async () => {
    const cluster = await startTestCluster({ "churn.interval": "200ms" });
    await startAgent(scene, cluster.upstream, "web", service.addr);
    const load = keepAsking(cluster);
    // Each node has been replaced, and so have the replacements.
    for (let node = 1; node <= 6; node++) {
      await cluster.program.waitForLine(
        ({ fields }) => fields["msg"] === "node stopped" && fields["node-id"] === `node-${node}`,
        `end of node-${node}`,
        { ms: 30_000 },
      );
    }
    await load.more(20);
    expect(await load.stop()).toEqual([]);
  });

  it("kills its nodes under load, and only requests on broken connections fail", async () => {
    const cluster = await startTestCluster({ "churn.interval": "500ms", "churn.kill": "true" });
    await startAgent(scene, cluster.upstream, "web", service.addr);
    const load = keepAsking(cluster);
    for (let node = 1; node <= 6; node++) {
      await cluster.program.waitForLine(
        ({ fields }) => fields["msg"] === "node killed" && fields["node-id"] === `node-${node}`,
        `end of node-${node}`,
        { ms: 30_000 },
      );
    }
    await load.more(20);
    // A request in progress through a killed node is cut, and its client can retry it.
    const failures = await load.stop();
    expect(failures.filter((failure) => !/ECONNRESET|socket hang up/.test(failure))).toEqual([]);
    expect(failures.length).toBeLessThanOrEqual(6 * 3);
  });

  it("reports which port is in use", async () => {
    const cluster = await startTestCluster({});
    const args = ["test", "cluster", `--proxy.bind-addr=${cluster.proxy}`];
    const second = piko(scene, "second", args);
    expect((await second.exited).code).toBe(1);
    expect(second.tail()).toContain(`proxy balancer listen: ${cluster.proxy}: address already in use`);
  });
});
