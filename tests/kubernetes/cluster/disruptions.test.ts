// Planned disruptions of deploy/kubernetes: no operation costs a client a request.

import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { perFile } from "../../harness/stage.js";
import { NodePods } from "../harness/cluster.js";
import { haveCluster } from "../harness/environment.js";
import { kubectl } from "../harness/kubectl.js";
import { listMachines } from "../harness/machines.js";
import { Namespace } from "../harness/namespace.js";
import { Load, startTraffic } from "../harness/traffic.js";

const MANIFESTS = fileURLToPath(new URL("../../../deploy/kubernetes", import.meta.url));
const CLIENTS = "http://piko-clients:8000";

describe.runIf(haveCluster())("deploy/kubernetes", () => {
  const stage = perFile();
  let namespace: Namespace;
  let nodes: NodePods;
  let machines: readonly string[];

  beforeAll(async () => {
    machines = await listMachines();
    namespace = await Namespace.create(stage, "restricted");
    nodes = new NodePods(namespace, "app=piko");
  });

  // A failed test may leave another number of nodes.
  beforeEach(async () => {
    if ((await nodes.list()).length > 0) await scale(3);
  });

  /** Sends requests while `disrupt` runs, and expects all of them to succeed. */
  async function withoutFailure(disrupt: () => Promise<void>): Promise<void> {
    const load = await Load.start(namespace, CLIENTS);
    try {
      await disrupt();
      // Late effects count too.
      await load.flow(3);
    } finally {
      const sum = await load.stop();
      process.stderr.write(`${JSON.stringify({ ...sum, failures: sum.failures.length })}\n`);
      expect(sum).toMatchObject({ failed: { GET: 0, POST: 0 }, failures: [] });
      expect(sum.succeeded).toBe(sum.sent);
    }
  }

  const agents = async (count: number): Promise<void> => {
    await namespace.kubectl(["scale", "deployment/piko-agent", `--replicas=${count}`]);
    await namespace.rolledOut("deployment/piko-agent");
  };

  const scale = async (count: number): Promise<void> => {
    await namespace.kubectl(["scale", "statefulset/piko", `--replicas=${count}`]);
    await namespace.rolledOut("statefulset/piko");
    await nodes.untilOneCluster(count);
  };

  it("forms one cluster of three, all started at once, under the restricted pod security standard", async () => {
    await namespace.apply(await kubectl(["kustomize", MANIFESTS]));
    await namespace.rolledOut("statefulset/piko");
    await nodes.untilOneCluster(3);
    const [machine = ""] = machines;
    await startTraffic(namespace, { upstreamUrl: "http://piko-agents:8001", agents: 2, machine });
  });

  it("loses no request to a rolling restart", () =>
    withoutFailure(async () => {
      await namespace.kubectl(["rollout", "restart", "statefulset/piko"]);
      await namespace.rolledOut("statefulset/piko");
      await nodes.untilOneCluster(3);
    }));

  it("loses no request when it is scaled from 3 to 5 to 2 and back", () =>
    withoutFailure(async () => {
      await scale(5);
      await scale(2);
      await scale(3);
    }));

  it("loses no request to the deletion of a pod", () =>
    withoutFailure(async () => {
      await namespace.kubectl(["delete", "pod", "piko-1"]);
      await namespace.rolledOut("statefulset/piko");
      await nodes.untilOneCluster(3);
    }));

  describe("with a machine to spare", () => {
    const drained: string[] = [];
    afterEach(async () => {
      for (const machine of drained.splice(0)) await kubectl(["uncordon", machine]);
    });

    it("loses no request when a machine is drained", () =>
      withoutFailure(async () => {
        const machine = machines.at(-1) ?? "";
        drained.push(machine);
        await kubectl(["drain", machine, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=200s"], {
          ms: 210_000,
        });
        await namespace.rolledOut("statefulset/piko");
        await nodes.untilOneCluster(3);
        const places = (await nodes.list()).map(({ spec }) => spec.nodeName);
        expect(places).not.toContain(machine);
      }));
  });

  it("loses no request to a rolling restart of the agents", () =>
    withoutFailure(async () => {
      await namespace.kubectl(["rollout", "restart", "deployment/piko-agent"]);
      await namespace.rolledOut("deployment/piko-agent");
    }));

  it("loses no request to a rolling restart with a single agent", async () => {
    await agents(1);
    await withoutFailure(async () => {
      await namespace.kubectl(["rollout", "restart", "statefulset/piko"]);
      await namespace.rolledOut("statefulset/piko");
      await nodes.untilOneCluster(3);
    });
  });
});
