// The example from the hosting document, word for word (only the indentation of `resources` is corrected).

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { perFile } from "../../harness/stage.js";
import { NodePods } from "../harness/cluster.js";
import { haveCluster } from "../harness/environment.js";
import { listMachines } from "../harness/machines.js";
import { Namespace } from "../harness/namespace.js";
import { Load, startTraffic } from "../harness/traffic.js";

const read = (name: string): string => readFileSync(new URL(`../document/${name}`, import.meta.url), "utf8");

describe.runIf(haveCluster())("the document's manifests", () => {
  const stage = perFile();
  let namespace: Namespace;
  let nodes: NodePods;

  it("form one cluster of three", async () => {
    namespace = await Namespace.create(stage, "baseline");
    nodes = new NodePods(namespace, "app=piko");
    for (const name of ["service.yaml", "configmap.yaml", "statefulset.yaml"])
      await namespace.apply(read(name));
    await namespace.rolledOut("statefulset/piko");
    await nodes.untilOneCluster(3);
    const [first] = await nodes.list();
    const ids = (await nodes.seenBy(first?.metadata.name ?? "")).map(({ id }) => id).sort();
    expect(ids).toEqual([
      expect.stringMatching(/^piko-0-\w{7}$/),
      expect.stringMatching(/^piko-1-\w{7}$/),
      expect.stringMatching(/^piko-2-\w{7}$/),
    ]);
  });

  it("serve 200 requests a second with the document's 250m of CPU and 1 GiB", async () => {
    const [machine = ""] = await listMachines();
    await startTraffic(namespace, { upstreamUrl: "http://piko:8001", agents: 2, machine });
    const load = await Load.start(namespace, "http://piko:8000");
    await load.flow(20);
    const sum = await load.stop();
    expect(sum).toMatchObject({ failed: { GET: 0, POST: 0 }, failures: [] });
    expect(sum.succeeded).toBe(sum.sent);
    expect(sum.sent).toBeGreaterThan(200 * 20);
    process.stderr.write(`${JSON.stringify(sum.latencyMs)}\n`);
    for (const { status } of await nodes.list()) expect(status.containerStatuses?.[0]?.restartCount).toBe(0);
  });
});
