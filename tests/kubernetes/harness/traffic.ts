// The other side of a cluster of nodes: a service, agents that serve it on an endpoint, and a pod that sends requests.

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { parseAllDocuments } from "yaml";
import { within } from "../../harness/deadline.js";
import { CLUSTER_RUN, IMAGE } from "./environment.js";
import type { Namespace } from "./namespace.js";

/** The endpoint of deploy/kubernetes/agent.yaml. */
export const ENDPOINT = "my-endpoint";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

/** Where the nodes are, as seen from agents and clients. */
export interface TrafficOptions {
  /** Base URL of the upstream port. */
  readonly upstreamUrl: string;
  /** How many agents there are. */
  readonly agents: number;
  /** The machine that all of this runs on, so that it survives failures of other machines. */
  readonly machine: string;
  /** Authority, in PEM, by which agents and clients verify the nodes; undefined without TLS. */
  readonly authority?: string;
}

/** Starts the service, the agents and the pod that sends requests, and waits until they are ready. */
export async function startTraffic(namespace: Namespace, options: TrafficOptions): Promise<void> {
  const { authority, machine } = options;
  const scripts = {
    "load.mjs": read("../load/load.mjs"),
    "service.mjs": read("../load/service.mjs"),
    ...(authority === undefined ? {} : { "ca.crt": authority }),
  };
  const pod = (script: readonly string[], more: object): object => ({
    nodeSelector: { "kubernetes.io/hostname": machine },
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: "RuntimeDefault" } },
    containers: [
      {
        name: "node",
        image: IMAGE,
        command: ["node", ...script],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        volumeMounts: [{ name: "scripts", mountPath: "/scripts" }],
        ...more,
      },
    ],
    volumes: [{ name: "scripts", configMap: { name: "scripts" } }],
  });
  const labels = (app: string): object => ({ labels: { app } });
  await namespace.apply(
    [
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "scripts" }, data: scripts },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "web" },
        spec: { selector: { app: "web" }, ports: [{ port: 8_080 }] },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "web" },
        spec: {
          selector: { matchLabels: { app: "web" } },
          template: {
            metadata: labels("web"),
            spec: pod(["/scripts/service.mjs"], {
              readinessProbe: { httpGet: { path: "/answer/0", port: 8_080 }, periodSeconds: 1 },
            }),
          },
        },
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "load", ...labels("load") },
        // The pod only waits; each run is a command in it.
        spec: { ...pod(["--eval", "setInterval(() => {}, 1e9)"], {}), terminationGracePeriodSeconds: 0 },
      },
    ]
      .map((manifest) => JSON.stringify(manifest))
      .join("\n---\n"),
  );
  await namespace.rolledOut("deployment/web");
  await namespace.apply(agentManifests(options));
  await namespace.rolledOut("deployment/piko-agent");
  await namespace.kubectl(["wait", "--for=condition=Ready", "pod/load", "--timeout=60s"]);
}

/** deploy/kubernetes/agent.yaml, for this many agents on this machine. */
function agentManifests({ upstreamUrl, agents, authority, machine }: TrafficOptions): string {
  const tls = authority === undefined ? "" : "\n      tls: { root_cas: /scripts/ca.crt }";
  const example = read("../../../deploy/kubernetes/agent.yaml").replace(
    "http://piko-agents:8001",
    `${upstreamUrl}${tls}`,
  );
  const pod = ["spec", "template", "spec"];
  return parseAllDocuments(example)
    .map((document) => {
      if (document.get("kind") === "Deployment") {
        if (authority !== undefined) {
          const scripts = { name: "scripts", configMap: { name: "scripts" } };
          document.addIn([...pod, "volumes"], document.createNode(scripts));
          const mount = { name: "scripts", mountPath: "/scripts" };
          document.addIn([...pod, "containers", 0, "volumeMounts"], document.createNode(mount));
        }
        document.setIn(["spec", "replicas"], agents);
        document.setIn(["spec", "minReadySeconds"], 0);
        document.setIn([...pod, "nodeSelector"], { "kubernetes.io/hostname": machine });
      }
      return document.toString();
    })
    .join("---\n");
}

/** One failed request, with details that may help to find the cause. */
export interface LoadFailure {
  readonly method: string;
  readonly problem: string;
  /** Status of the response, if there was one. */
  readonly status?: number;
}

/** What a run of load.mjs counted. */
export interface LoadSum {
  readonly seconds: number;
  /** Maximum number of connections at the same time, each with one request. */
  readonly connections: number;
  readonly sent: number;
  readonly succeeded: number;
  readonly failed: { readonly GET: number; readonly POST: number };
  /** Streams that were opened, and how many of them ended early. */
  readonly streams: { readonly open: number; readonly ended: number };
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly failures: readonly LoadFailure[];
  /** Slowest request of each second in ms; for a second with failures, their number, negated. */
  readonly timeline: readonly number[];
}

/** What a run of load.mjs sends. */
export interface LoadMix {
  /** Requests a second; 200 by default. */
  readonly rate?: number;
  /** Streams that must stay open to the end; none by default. */
  readonly streams?: number;
  /** Opens a connection for each request, so that the Service chooses a pod each time. */
  readonly fresh?: boolean;
}

/** One run of load.mjs in the load pod. */
export class Load {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #sum: Promise<LoadSum>;
  readonly #timeline: number[] = [];
  #stderr = "";
  readonly #waiting = new Set<() => void>();

  private constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#child = child;
    child.stderr.on("data", (text: Buffer) => (this.#stderr += text.toString()));
    this.#sum = new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const event = JSON.parse(line) as { event: string; failed: number; slowestMs: number };
        if (event.event === "sum") resolve({ ...(event as unknown as LoadSum), timeline: this.#timeline });
        else this.#timeline.push(event.failed > 0 ? -event.failed : event.slowestMs);
        for (const wake of this.#waiting) wake();
      });
      child.on("close", (code) => reject(new Error(`the load ended with ${code}: ${this.#stderr}`)));
    });
    // A rejection is reported when the sum is requested.
    this.#sum.catch(() => {});
  }

  /** Starts requests to the endpoint through `url`; returns after two seconds of them. */
  static async start(namespace: Namespace, url: string, mix: LoadMix = {}): Promise<Load> {
    const { fresh = false, rate = 200, streams = 0 } = mix;
    const exec = ["--namespace", namespace.name, "exec", "--stdin", "load", "--"];
    const script = ["node", "/scripts/load.mjs", url, ENDPOINT, String(rate), String(streams)];
    if (fresh) script.push("fresh");
    const [program = "", ...args] = [...CLUSTER_RUN, "kubectl", ...exec, ...script];
    const load = new Load(spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] }));
    await load.flow(2);
    return load;
  }

  /** Waits for `seconds` more seconds of requests. */
  async flow(seconds: number): Promise<void> {
    const until = this.#timeline.length + seconds;
    const flowing = async (): Promise<void> => {
      while (this.#timeline.length < until) {
        await Promise.race([
          this.#sum,
          new Promise<void>((resolve) => {
            this.#waiting.add(resolve);
          }),
        ]);
      }
    };
    await within(flowing(), "requests", seconds * 2_000 + 20_000);
    this.#waiting.clear();
  }

  /** Ends the run and returns its counts. */
  stop(): Promise<LoadSum> {
    this.#child.stdin.end();
    return within(this.#sum, "sum of the load", 40_000);
  }
}
