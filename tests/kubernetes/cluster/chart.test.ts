// The Helm charts, installed, tested, upgraded, scaled and rolled back by Helm on a real cluster.

import { beforeAll, describe, expect, it } from "vitest";
import { perFile } from "../../harness/stage.js";
import { Charts } from "../harness/charts.js";
import { NodePods } from "../harness/cluster.js";
import { haveCluster } from "../harness/environment.js";
import { haveGoTools } from "../harness/go-tools.js";
import { helm } from "../harness/kubectl.js";
import { listMachines } from "../harness/machines.js";
import { Namespace } from "../harness/namespace.js";
import { ENDPOINT, Load, startTraffic } from "../harness/traffic.js";

describe.runIf(haveCluster() && haveGoTools())("the chart", () => {
  const stage = perFile();
  let namespace: Namespace;
  let charts: Charts;
  let nodes: NodePods;

  beforeAll(async () => {
    namespace = await Namespace.create(stage, "restricted");
    charts = new Charts(namespace);
    nodes = new NodePods(namespace, "app.kubernetes.io/name=piko");
  });

  const release = (command: "install" | "upgrade", ...args: readonly string[]): Promise<string> =>
    charts.release("piko", "piko", command, ...args);

  /** Checks that requests sent during `change` all succeed. */
  const expectNoLoss = async (change: () => Promise<unknown>): Promise<void> => {
    const load = await Load.start(namespace, "http://piko-clients:8000");
    await change();
    await load.flow(3);
    expect(await load.stop()).toMatchObject({ failed: { GET: 0, POST: 0 }, failures: [] });
  };

  it("installs one cluster of three, prints how to reach it, and passes its own test", async () => {
    const notes = await release("install");
    expect(notes).toContain(`http://piko-agents.${namespace.name}:8001`);
    await nodes.untilOneCluster(3);
    const tested = await helm(["test", "piko", "--namespace", namespace.name, "--logs"]);
    expect(tested.match(/^ok: .* active nodes: 3 of 3$/gm)).toHaveLength(3);
  });

  it("rolls out a new configuration without losing a request", async () => {
    const [machine = ""] = await listMachines();
    await startTraffic(namespace, { upstreamUrl: "http://piko-agents:8001", agents: 2, machine });
    const before = await nodes.list();
    await expectNoLoss(async () => {
      await release("upgrade", "--set", "config.proxy.timeout=20s");
      await nodes.untilOneCluster(3);
    });
    const after = (await nodes.list()).map(({ metadata }) => metadata.uid);
    for (const { metadata } of before) expect(after).not.toContain(metadata.uid);
  });

  it("installs and upgrades agents by their own chart without losing a request", async () => {
    const agents = (command: "install" | "upgrade", ...more: readonly string[]): Promise<string> =>
      charts.release(
        "piko-agent",
        "my-agent",
        command,
        ...["--set", "config.connect.url=http://piko-agents:8001,config.grace_period=30s"],
        ...["--set", `config.listeners[0].endpoint_id=${ENDPOINT},config.listeners[0].addr=web:8080`],
        ...more.flatMap((value) => ["--set", value]),
      );
    await expectNoLoss(async () => {
      await agents("install");
      // Deletes the manifest's agents: from here on those of the chart serve everything.
      await namespace.kubectl(["delete", "deployment/piko-agent", "--wait"]);
      await agents("upgrade", "config.log.level=debug");
      await charts.helm("rollback", "my-agent");
    });
  });

  it("scales and rolls back without losing a request", async () => {
    await expectNoLoss(async () => {
      await release("upgrade", "--set", "replicaCount=4");
      await nodes.untilOneCluster(4);
      await charts.helm("rollback", "piko");
      await nodes.untilOneCluster(3);
    });
  });

  it("leaves nothing behind when it is uninstalled", async () => {
    await charts.helm("uninstall", "my-agent");
    await charts.helm("uninstall", "piko");
    const left = await namespace.kubectl([
      ...["get", "all,configmaps,poddisruptionbudgets,serviceaccounts", "--output=name"],
      ...["--selector=app.kubernetes.io/managed-by=Helm"],
    ]);
    expect(left).toBe("");
  });
});
