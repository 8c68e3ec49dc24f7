// Follows docs/guides/cluster.md: runs its commands as written, on hosts where every port is free, and compares the output
// with the samples that follow them.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { ListedNode } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { createHosts, type PrivateHost } from "../harness/private-hosts.js";
import { perTest, type Stage } from "../harness/stage.js";

const scene = perTest();
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const GUIDE = readFileSync(new URL("../../docs/guides/cluster.md", import.meta.url), "utf8");
const SERVICE = `node -e 'require("http").createServer((_, response) => response.end("hello")).listen(3000)'`;

/** The code blocks of a section of the guide. */
function blocksOf(title: string): string[] {
  const section = GUIDE.split(/^## /m).find((each) => each.startsWith(`${title}\n`));
  if (section === undefined) throw new Error(`the guide has no section ${title}`);
  return [...section.matchAll(/^```\n([^]*?)^```$/gm)].map(([, block = ""]) => block);
}

/** The command with the program that `npx piko` runs in a clone, without the wait for npx. */
function command(block: string): string {
  const line = block.replaceAll("\\\n", "").trim();
  return line.replaceAll("npx piko", `${ROOT}node_modules/.bin/piko`);
}

function isServer(block: string): boolean {
  return /^npx piko server (?!status )/.test(block);
}

async function startServer(stage: Stage, host: PrivateHost, block: string): Promise<void> {
  await host.start(stage, "server", command(block)).waitFor("server started");
}

/** The versions of nodes with a fixed id are timestamps. */
function withoutVersions(text: string): string {
  return text.replaceAll(/\b\d{13}\b/g, "VERSION").replaceAll(/\b(?:\d+[hm])*\d+s$/gm, "UPTIME");
}

describe("the cluster guide", () => {
  it("forms a cluster on one machine, whose output matches the samples", async () => {
    const hosts = await createHosts(scene, ["10.0.0.1"]);
    if (hosts === undefined) return;
    const [host] = hosts;
    host.start(scene, "service", SERVICE);
    let asked = "";
    let samples = 0;
    for (const block of [...blocksOf("On one machine"), ...blocksOf("Seeing it")]) {
      if (isServer(block)) {
        await startServer(scene, host, block);
      } else if (block.startsWith("npx piko agent ")) {
        await host.start(scene, "agent", command(block)).waitFor("connected");
      } else if (block.startsWith("curl ")) {
        await eventually(
          async () => (await host.run(command(block))).stdout === "hello",
          `hello by ${block}`,
        );
      } else if (block.startsWith("npx piko server status ")) {
        // On a terminal, the default output is a table.
        asked = block.includes("--output") ? command(block) : `${command(block)} --output table`;
        expect(await host.run(asked)).toMatchObject({ code: 0, stderr: "" });
      } else {
        samples++;
        let shown = "";
        await eventually(async () => {
          shown = withoutVersions((await host.run(asked)).stdout);
          return shown === withoutVersions(block);
        }, `sample of ${asked}`).catch(() => expect(shown).toBe(withoutVersions(block)));
      }
    }
    expect(samples).toBe(4);
  });

  it("forms a cluster of three hosts", async () => {
    const hosts = await createHosts(scene, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    if (hosts === undefined) return;
    const [server = ""] = blocksOf("On several hosts").filter(isServer);
    await Promise.all(hosts.map((host) => startServer(scene, host, server)));
    const [ready = ""] = blocksOf("Joining and leaving");
    const status = command("npx piko server status cluster nodes --output json");
    for (const host of hosts) {
      expect((await host.run(ready)).code).toBe(0);
      await eventually(async () => {
        const { nodes } = JSON.parse((await host.run(status)).stdout) as { nodes: ListedNode[] };
        const active = nodes.filter((node) => node.status === "active").map((node) => node.proxy_addr);
        return active.sort().join(" ") === "10.0.0.1:8000 10.0.0.2:8000 10.0.0.3:8000";
      }, `three nodes at ${host.address}`);
    }
    const [metrics = ""] = blocksOf("Metrics to watch");
    expect((await hosts[2].run(metrics)).stdout).toBe('piko_cluster_nodes{status="active"} 3\n');
  });
});
