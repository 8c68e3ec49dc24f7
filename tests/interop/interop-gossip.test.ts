// Real servers in one cluster with a Go node, which is built on the library that Go Piko uses.

import { describe, expect, it } from "vitest";
import { activeNodes, adminJson, type ListedNode, startCluster, untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { haveGo, startGoNode } from "../harness/go-peer.js";
import { ask } from "../harness/load.js";
import { startAgent, startServer } from "../harness/piko.js";
import type { LogLine, Program } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const BUILD_MS = 300_000;

/** Waits until the Go node has printed an event with these fields. */
function untilEvent(program: Program, expected: Readonly<Record<string, unknown>>): Promise<LogLine> {
  const matches = ({ fields }: LogLine): boolean =>
    Object.entries(expected).every(([key, value]) => fields[key] === value);
  return program.waitForLine(matches, JSON.stringify(expected));
}

function expectNoComplaints(program: Program): void {
  expect(program.lines.filter(({ fields }) => ["invalid", "failed"].includes(String(fields["msg"])))).toEqual(
    [],
  );
}

describe.skipIf(!haveGo)("a Go node", { timeout: BUILD_MS }, () => {
  it("joins a cluster of real servers, which route to it and which it knows, and leaves", async () => {
    const service = await Service.start(scene);
    const nodes = await startCluster(scene, ["a", "b"]);
    await startAgent(scene, nodes[1].upstream, "web", service.addr);
    const { program } = await startGoNode(scene, "gonode");
    // A service takes the place of the Go node's proxy port and answers requests that arrive over the hop.
    program.write(`upsert proxy_addr ${service.addr}`);
    program.write("upsert admin_addr 127.0.0.1:1");
    program.write("upsert endpoint:go 2");
    program.write(`join ${nodes[0].gossip}`);
    await untilEvent(program, { msg: "joined", id: "a" });
    for (const [i, id] of ["a", "b"].entries()) {
      await untilEvent(program, { msg: "upsert", id, key: "proxy_addr", value: nodes[i]?.proxy });
      await untilEvent(program, { msg: "upsert", id, key: "admin_addr", value: nodes[i]?.admin });
    }
    await untilEvent(program, { msg: "upsert", id: "b", key: "endpoint:web", value: "1" });
    for (const node of nodes) {
      await untilEndpoints(node, "gonode", 1);
      expect(await activeNodes(node)).toBe("a b gonode");
      expect(await adminJson(node, "/status/cluster/nodes/gonode")).toMatchObject({
        proxy_addr: service.addr,
        endpoints: { go: 2 },
      });
      expect(await (await ask(node, "go", "/item?i=3")).text()).toBe("item 3");
    }
    const { headers } = await service.request("/item?i=3");
    expect(headers["x-piko-forward"]).toBe("true");

    const agent = await startAgent(scene, nodes[0].upstream, "later", service.addr);
    await untilEvent(program, { msg: "upsert", id: "a", key: "endpoint:later", value: "1" });
    await agent.stop();
    await untilEvent(program, { msg: "delete", id: "a", key: "endpoint:later" });
    program.write("delete endpoint:go");
    for (const node of nodes) await untilEndpoints(node, "gonode", 0);

    program.write("leave");
    await untilEvent(program, { msg: "notified", id: "a" });
    await untilEvent(program, { msg: "notified", id: "b" });
    for (const node of nodes) {
      const listed = await adminJson<ListedNode[]>(node, "/status/cluster/nodes");
      expect(listed.find(({ id }) => id === "gonode")?.status).toBe("left");
    }
    expectNoComplaints(program);
  });

  it("is joined by a real server, and sees it leave", async () => {
    const { program, gossip } = await startGoNode(scene, "gonode");
    const server = await startServer(scene, { "cluster.node-id": "a", "cluster.join": gossip });
    await server.program.waitFor("joined cluster");
    await untilEvent(program, { msg: "upsert", id: "a", key: "proxy_addr", value: server.proxy });
    await server.program.stop();
    await untilEvent(program, { msg: "leave", id: "a" });
    expectNoComplaints(program);
  });

  it("that is killed disappears from the servers' tables, and another Go node doesn't bring it back", async () => {
    const service = await Service.start(scene);
    const [a] = await startCluster(scene, ["a"]);
    const [first, second] = [await startGoNode(scene, "go1"), await startGoNode(scene, "go2")];
    for (const { program } of [first, second]) {
      program.write(`upsert proxy_addr ${service.addr}`);
      program.write("upsert admin_addr 127.0.0.1:1");
      program.write("upsert endpoint:go 1");
      program.write(`join ${a.gossip}`);
    }
    await eventually(async () => (await activeNodes(a)) === "a go1 go2", "both");
    await untilEvent(second.program, { msg: "join", id: "go1" });
    await first.program.kill();
    await eventually(async () => (await activeNodes(a)) === "a go2", "the end of the first");
    await untilEvent(second.program, { msg: "reachable", id: "go1", reachable: false });
    expect(await activeNodes(a)).toBe("a go2");
    const from = a.program.lines.length;
    for (let i = 0; i < 20; i++) expect((await ask(a, "go", `/item?i=${i}`)).status).toBe(200);
    const back = a.program.lines.slice(from).filter(({ fields }) => fields["node-id"] === "go1");
    expect(back.filter(({ fields }) => fields["msg"] !== "node forgotten")).toEqual([]);
  });
});
