// A namespace of the cluster for one test file; everything applied to it is deleted with it.

import { randomBytes } from "node:crypto";
import type { Stage } from "../../harness/stage.js";
import { IMAGE } from "./environment.js";
import { kubectl, kubectlJson, type KubectlOptions } from "./kubectl.js";

/** The fields of a pod that tests use. */
export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

export class Namespace {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  /** Creates a namespace with this pod security standard; it is deleted with the stage. */
  static async create(stage: Stage, podSecurity: "baseline" | "restricted"): Promise<Namespace> {
    const name = `piko-test-${randomBytes(4).toString("hex")}`;
    await kubectl(["create", "namespace", name]);
    stage.defer(async () => {
      if ((process.env["PIKO_KEEP"] ?? "") !== "") return;
      await kubectl(["delete", "namespace", name, "--wait=false"]);
      // Nodes that drain for a minute would take CPU time from the next tests.
      await kubectl(["--namespace", name, "delete", "pods", "--all", "--grace-period=0", "--force"]);
    });
    await kubectl(["label", "namespace", name, `pod-security.kubernetes.io/enforce=${podSecurity}`]);
    return new Namespace(name);
  }

  kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    return kubectl(["--namespace", this.name, ...args], options);
  }

  /** Applies manifests, with the image under test in place of the documents' `my-repo/piko:latest`. */
  async apply(manifests: string): Promise<void> {
    await this.kubectl(["apply", "--filename", "-"], {
      input: manifests.replaceAll("my-repo/piko:latest", IMAGE),
    });
  }

  /** Waits until all pods of a StatefulSet or Deployment are new and ready. */
  async rolledOut(what: string): Promise<void> {
    await this.kubectl(["rollout", "status", what, "--timeout", "240s"], { ms: 250_000 });
  }

  /** Pods with a label, except those being deleted. */
  async pods(label: string): Promise<readonly Pod[]> {
    const { items } = await kubectlJson<{ items: readonly Pod[] }>([
      "--namespace",
      this.name,
      "get",
      "pods",
      "--selector",
      label,
    ]);
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /** A page of a pod's port, as JSON, through the API server. */
  async page<T>(pod: string, port: number, path: string): Promise<T> {
    const at = `/api/v1/namespaces/${this.name}/pods/${pod}:${port}/proxy${path}`;
    return JSON.parse(await kubectl(["get", "--raw", at])) as T;
  }
}
