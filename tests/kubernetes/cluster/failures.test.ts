// Unplanned failures: a node runs out of memory, the network splits, a machine dies. The cluster recovers by itself, and the
// rest of it serves throughout.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { perFile, perTest } from "../../harness/stage.js";
import { NodePods } from "../harness/cluster.js";
import { haveCluster, haveVariable, KILL_NODE, NODE_SHELL } from "../harness/environment.js";
import { kubectl } from "../harness/kubectl.js";
import { listMachines } from "../harness/machines.js";
import { Namespace, type Pod } from "../harness/namespace.js";
import { ENDPOINT, Load, type LoadSum, startTraffic } from "../harness/traffic.js";

const MANIFESTS = fileURLToPath(new URL("../../../deploy/kubernetes", import.meta.url));
const EAT_MEMORY = fileURLToPath(new URL("../load/eat-memory.js", import.meta.url));
const AGENTS = 3;

describe.runIf(haveCluster())("a cluster of nodes on Kubernetes", () => {
  const stage = perFile();
  const each = perTest();
  let namespace: Namespace;
  let nodes: NodePods;
  let machine: string;

  beforeAll(async () => {
    [machine = ""] = await listMachines();
    namespace = await Namespace.create(stage, "restricted");
    nodes = new NodePods(namespace, "app=piko");
    await namespace.apply(await kubectl(["kustomize", MANIFESTS]));
    await namespace.rolledOut("statefulset/piko");
    await nodes.untilOneCluster(3);
    await startTraffic(namespace, { upstreamUrl: "http://piko-agents:8001", agents: AGENTS, machine });
  });

  /** Finds a pod that some, but not all, agents are connected to; restarts the agents until there is one. */
  async function findPartlyUsed(where: (pod: Pod) => boolean = () => true): Promise<Pod> {
    for (;;) {
      for (const pod of await nodes.list()) {
        const count = await nodes.listeners(pod.metadata.name, ENDPOINT);
        if (where(pod) && count > 0 && count < AGENTS) return pod;
      }
      await namespace.kubectl(["rollout", "restart", "deployment/piko-agent"]);
      await namespace.rolledOut("deployment/piko-agent");
    }
  }

  /** Sends requests to every node except the victim while `disrupt` runs; returns what each of these nodes answered. */
  async function others(
    victim: Pod,
    disrupt: (flow: (seconds: number) => Promise<unknown>) => Promise<void>,
  ): Promise<readonly LoadSum[]> {
    const survivors = (await nodes.list()).filter(({ metadata }) => metadata.uid !== victim.metadata.uid);
    const loads = await Promise.all(
      survivors.map(({ status }) => Load.start(namespace, `http://${status.podIP}:8000`, { rate: 100 })),
    );
    let failure: unknown;
    await disrupt((seconds) => Promise.all(loads.map((load) => load.flow(seconds)))).catch(
      (error: unknown) => {
        failure = error;
      },
    );
    const sums = await Promise.all(loads.map((load) => load.stop()));
    for (const sum of sums) process.stderr.write(`${JSON.stringify(sum)}\n`);
    if (failure !== undefined) throw failure;
    return sums;
  }

  /**
   * Checks that no request that is safe to retry was lost, and of the others only those in progress through what failed: at
   * most one for each of the client's connections, a quarter of which carry such requests at any time.
   */
  function expectServed(sums: readonly LoadSum[]): void {
    expect(sums.length).toBeGreaterThan(0);
    for (const sum of sums) {
      expect(sum.failed.GET, JSON.stringify(sum.failures)).toBe(0);
      expect(sum.failed.POST, JSON.stringify(sum.failures)).toBeLessThanOrEqual(sum.connections);
    }
  }

  it("recovers after a node ran out of memory, and serves throughout", async () => {
    const victim = await findPartlyUsed();
    const { name } = victim.metadata;
    const script = await readFile(EAT_MEMORY, "utf8");
    const sums = await others(victim, async (flow) => {
      // Starts to wait before the kill: the last state lasts only as long as the dead container exists, and the kubelet may
      // collect that one as surplus while the next is created and not started yet.
      const killed = namespace.kubectl([
        "wait",
        `pod/${name}`,
        "--for=jsonpath={.status.containerStatuses[0]..terminated.reason}=OOMKilled",
        "--timeout=60s",
      ]);
      const exec = ["exec", name, "--", "node", "--experimental-websocket", "--eval", script];
      const output = namespace.kubectl(exec).catch(String);
      await killed.catch(async (error: unknown) => {
        throw new Error(`the node wasn't killed for its memory: ${await output}`, { cause: error });
      });
      await namespace.rolledOut("statefulset/piko");
      await nodes.untilOneCluster(3);
      await flow(3);
    });
    expectServed(sums);
  });

  it.runIf(haveVariable("PIKO_NODE_SHELL"))(
    "recovers after the network was split, and serves throughout",
    async () => {
      const victim = await findPartlyUsed();
      const ip = victim.status.podIP ?? "";
      const rules = [
        ["-s", ip],
        ["-d", ip],
      ];
      const iptables = (...args: readonly string[]): Promise<unknown> =>
        promisify(execFile)("sh", ["-c", `${NODE_SHELL} iptables "$@"`, "sh", ...args], {
          env: { ...process.env, NODE: victim.spec.nodeName ?? "" },
        });
      let split = false;
      const heal = async (): Promise<void> => {
        if (!split) return;
        split = false;
        for (const rule of rules) await iptables("-D", "FORWARD", ...rule, "-j", "DROP");
      };
      each.defer(heal);
      const sums = await others(victim, async (flow) => {
        split = true;
        for (const rule of rules) await iptables("-I", "FORWARD", ...rule, "-j", "DROP");
        // Long enough for the others to see it as unreachable, too short for them to forget it.
        await flow(20);
        await heal();
        await nodes.untilOneCluster(3);
        await flow(3);
      });
      expectServed(sums);
    },
  );

  /**
   * Checks the requests that came through the Service. Those without any response went to a pod that Kubernetes still counts
   * as ready; they are printed. An error response came from a live node, and is permitted only for a POST that was in
   * progress to the dead one.
   */
  function expectServedByService(sum: LoadSum): void {
    const answered = sum.failures.filter(({ status }) => status !== undefined);
    expect(answered.filter(({ method }) => method !== "POST")).toEqual([]);
    const unanswered = sum.failures.length - answered.length;
    process.stderr.write(
      `through the Service: ${unanswered} of ${sum.sent} without an answer, ${answered.length} with an error\n`,
    );
    expect(sum.succeeded + sum.failures.length).toBe(sum.sent);
  }

  // Comes last, because it costs a machine.
  it.runIf(haveVariable("PIKO_KILL_NODE"))("keeps serving after a machine died", async () => {
    const victim = await findPartlyUsed(({ spec }) => spec.nodeName !== machine);
    const dead = victim.spec.nodeName ?? "";
    const alone = (await nodes.list()).filter(({ spec }) => spec.nodeName === dead);
    expect(alone.map(({ metadata }) => metadata.name)).toEqual([victim.metadata.name]);
    // The rate is so low that requests without a response don't use up the client's connections.
    const throughService = await Load.start(namespace, "http://piko-clients:8000", { rate: 5, fresh: true });
    const sums = await others(victim, async (flow) => {
      await promisify(execFile)("sh", ["-c", KILL_NODE], { env: { ...process.env, NODE: dead } });
      await flow(15);
      // Kubernetes waits minutes for the machine to return; an operator who knows better does this.
      await kubectl(["cordon", dead]);
      await namespace.kubectl(["delete", "pod", victim.metadata.name, "--grace-period=0", "--force"]);
      await namespace.rolledOut("statefulset/piko");
      await nodes.untilOneCluster(3);
      await flow(3);
    });
    expectServed(sums);
    expectServedByService(await throughService.stop());
  });
});
