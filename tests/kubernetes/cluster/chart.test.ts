// The Helm chart, installed, tested and upgraded by a real Helm on a real cluster.

import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { perFile } from "../../harness/stage.js";
import { NodePods } from "../harness/cluster.js";
import { haveCluster, IMAGE } from "../harness/environment.js";
import { haveGoTools } from "../harness/go-tools.js";
import { helm } from "../harness/kubectl.js";
import { listMachines } from "../harness/machines.js";
import { Namespace } from "../harness/namespace.js";
import { Load, startTraffic } from "../harness/traffic.js";

const CHART = fileURLToPath(new URL("../../../deploy/helm/piko", import.meta.url));

describe.runIf(haveCluster() && haveGoTools())("the chart", () => {
  const stage = perFile();
  let namespace: Namespace;
  let nodes: NodePods;

  beforeAll(async () => {
    namespace = await Namespace.create(stage, "restricted");
    nodes = new NodePods(namespace, "app.kubernetes.io/name=piko");
  });

  const release = (command: string, ...args: readonly string[]): Promise<string> => {
    const colon = IMAGE.lastIndexOf(":");
    const image = `image.repository=${IMAGE.slice(0, colon)},image.tag=${IMAGE.slice(colon + 1)}`;
    return helm(
      [
        command,
        "piko",
        CHART,
        "--namespace",
        namespace.name,
        "--set",
        image,
        "--wait",
        "--timeout",
        "4m",
        ...args,
      ],
      { ms: 250_000 },
    );
  };

  it("installs one cluster of three, says how to reach it, and passes its own test", async () => {
    const notes = await release("install");
    expect(notes).toContain(`http://piko-agents.${namespace.name}:8001`);
    await nodes.formOneCluster(3);
    const tested = await helm(["test", "piko", "--namespace", namespace.name, "--logs"]);
    expect(tested.match(/^ok: .* active nodes: 3 of 3$/gm)).toHaveLength(3);
  });

  it("rolls a new configuration out without losing a request", async () => {
    const [machine = ""] = await listMachines();
    await startTraffic(namespace, { upstreamUrl: "http://piko-agents:8001", agents: 2, machine });
    const before = await nodes.list();
    const load = await Load.start(namespace, "http://piko-clients:8000");
    await release("upgrade", "--set", "config.proxy.timeout=20s");
    await nodes.formOneCluster(3);
    await load.flow(3);
    const sum = await load.stop();
    expect(sum).toMatchObject({ failed: { GET: 0, POST: 0 }, failures: [] });
    const after = (await nodes.list()).map(({ metadata }) => metadata.uid);
    for (const { metadata } of before) expect(after).not.toContain(metadata.uid);
  });
});
