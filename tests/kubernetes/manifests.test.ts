// What deploy/ gives to a cluster, checked without one: against Kubernetes' own schemas, and the chart against bad values.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { perFile } from "../harness/stage.js";
import { run } from "../harness/tools.js";
import { haveGoTools, toolPath } from "./harness/go-tools.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CHART = join(ROOT, "deploy/helm/piko");
/** Helm built from its module knows no version of Kubernetes by itself. */
const KUBE_VERSION = ["--kube-version", "1.34.0"];

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  // Each kind has its own; tests name what they look for.
  readonly spec: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}

/** The part of a Deployment or StatefulSet that says what its containers ask for. */
interface WithPods {
  readonly template?: {
    readonly spec?: {
      readonly containers?: readonly {
        readonly name: string;
        readonly resources?: { readonly requests?: { readonly cpu?: string } };
      }[];
    };
  };
}

describe.runIf(haveGoTools())("manifests", () => {
  const stage = perFile();
  let folder = "";
  beforeAll(async () => {
    folder = await stage.directory();
  });

  /** Checks manifests against the schemas of Kubernetes; returns what is wrong. */
  async function problems(yaml: string): Promise<string> {
    const file = join(folder, "manifests.yaml");
    writeFileSync(file, yaml);
    const { code, stdout, stderr } = await run(toolPath("kubectl-validate"), [file]);
    return code === 0 ? "" : stdout + stderr;
  }

  const template = (...args: readonly string[]): ReturnType<typeof run> =>
    run(toolPath("helm"), ["template", "piko", CHART, "--namespace", "piko", ...KUBE_VERSION, ...args]);

  async function render(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await template(...args);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }

  const documents = (yaml: string): readonly Manifest[] =>
    parseAllDocuments(yaml)
      .map((document) => document.toJS() as Manifest | null)
      .filter((manifest) => manifest !== null);

  const find = (yaml: string, kind: string, name: string): Manifest | undefined =>
    documents(yaml).find((manifest) => manifest.kind === kind && manifest.metadata.name === name);

  describe("plain", () => {
    const files = (folderPath: string): string =>
      readdirSync(join(ROOT, folderPath))
        .filter((name) => name !== "kustomization.yaml")
        .map((name) => readFileSync(join(ROOT, folderPath, name), "utf8"))
        .join("\n---\n");

    it.each(["deploy/kubernetes", "tests/kubernetes/document"])(
      "%s agrees with Kubernetes' schemas",
      async (path) => {
        expect(await problems(files(path))).toBe("");
      },
    );

    it("has every file but the agent's example in the kustomization", () => {
      const kustomization = readFileSync(join(ROOT, "deploy/kubernetes/kustomization.yaml"), "utf8");
      const [listed] = documents(kustomization) as unknown as readonly { resources: readonly string[] }[];
      const present = readdirSync(join(ROOT, "deploy/kubernetes"));
      expect([...(listed?.resources ?? []), "agent.yaml", "kustomization.yaml"].sort()).toEqual(
        present.sort(),
      );
    });

    it("asks for CPU wherever a program of ours runs: one without stands still on a busy machine", () => {
      const asked = documents(files("deploy/kubernetes"))
        .flatMap(({ spec }) => (spec as WithPods | undefined)?.template?.spec?.containers ?? [])
        .map(({ name, resources }) => [name, resources?.requests?.cpu]);
      expect(asked).toEqual([
        ["agent", "100m"],
        ["piko", "250m"],
      ]);
    });

    it("is judged by a validator that finds mistakes", async () => {
      const wrong = files("deploy/kubernetes").replace("publishNotReadyAddresses", "publishUnreadyAddresses");
      expect(await problems(wrong)).toContain("publishUnreadyAddresses");
    });
  });

  describe("chart", () => {
    it("passes Helm's own checks", async () => {
      const { code, stdout } = await run(toolPath("helm"), ["lint", "--strict", CHART, ...KUBE_VERSION]);
      expect(stdout).toContain("0 chart(s) failed");
      expect(code).toBe(0);
    });

    const everything = join(ROOT, "tests/kubernetes/values/everything.yaml");

    it.each([
      ["with its defaults", []],
      ["with everything switched on", ["--values", everything]],
      [
        "with other ports",
        ["--set", "config.proxy.bind_addr=:80,config.cluster.gossip.bind_addr=0.0.0.0:9003"],
      ],
      ["with a long name", ["--set", `fullnameOverride=${"a-long-name-".repeat(6)}`]],
    ])("renders %s to what Kubernetes takes", async (_, args) => {
      const yaml = await render(...args);
      // Kinds that an operator or a gateway adds have no schema here.
      const known = documents(yaml).filter(({ kind }) => kind !== "HTTPRoute" && kind !== "ServiceMonitor");
      expect(await problems(known.map((manifest) => JSON.stringify(manifest)).join("\n---\n"))).toBe("");
    });

    it("takes gossip's keys from a Secret, and leaves gossip plain without one", async () => {
      const config = (yaml: string): string => find(yaml, "ConfigMap", "piko")?.data?.["server.yaml"] ?? "";
      const plain = await render("--set", "gossipKeys.encryption=required");
      expect(config(plain)).not.toContain("gossip");
      expect(plain).not.toContain("/gossip-keys");
      const sealed = await render(
        ...["--set", "gossipKeys.secretName=keys,gossipKeys.encryption=prefer"],
        ...["--set", "config.cluster.gossip.interval=200ms"],
      );
      expect(parseAllDocuments(config(sealed))[0]?.toJS()).toMatchObject({
        cluster: {
          gossip: {
            encryption: "prefer",
            secret_key_files: ["/gossip-keys/first", "/gossip-keys/second"],
            interval: "200ms",
          },
        },
      });
      const pods = find(sealed, "StatefulSet", "piko")?.spec;
      expect(JSON.stringify(pods)).toContain('{"name":"gossip-keys","secret":{"secretName":"keys"}}');
      expect(JSON.stringify(pods)).toContain(
        '{"name":"gossip-keys","mountPath":"/gossip-keys","readOnly":true}',
      );
    });

    it("creates what the document describes, under the document's names", async () => {
      const yaml = await render();
      expect(documents(yaml).map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual(
        expect.arrayContaining([
          "Service piko",
          "Service piko-clients",
          "Service piko-agents",
          "ConfigMap piko",
          "StatefulSet piko",
          "ServiceAccount piko",
          "PodDisruptionBudget piko",
        ]),
      );
      expect(find(yaml, "Service", "piko")?.spec).toMatchObject({
        clusterIP: "None",
        publishNotReadyAddresses: true,
      });
      expect(find(yaml, "ConfigMap", "piko")?.data?.["server.yaml"]).toBe(
        "cluster:\n  join:\n  - piko\n  node_id_prefix: ${POD_NAME}-\n",
      );
    });

    it("gives a node more time to stop than it takes", async () => {
      const seconds = async (...args: readonly string[]): Promise<unknown> => {
        const { spec } = find(await render(...args), "StatefulSet", "piko") as unknown as {
          spec: { template: { spec: { terminationGracePeriodSeconds: number } } };
        };
        return spec.template.spec.terminationGracePeriodSeconds;
      };
      expect(await seconds()).toBe(75);
      expect(await seconds("--set", "config.grace_period=2m30s")).toBe(165);
      expect(await seconds("--set", "config.grace_period=10s,terminationGracePeriodSeconds=11")).toBe(11);
    });

    it("rolls pods over when their configuration changes, and not otherwise", async () => {
      const checksum = async (...args: readonly string[]): Promise<string | undefined> =>
        /checksum\/config: (\w+)/.exec(await render(...args))?.[1];
      expect(await checksum()).toBe(await checksum("--set", "replicaCount=5"));
      expect(await checksum()).not.toBe(await checksum("--set", "config.drain_delay=9s"));
    });

    it("publishes the clients' port without the agents'", async () => {
      const yaml = await render("--set", "service.clients.type=LoadBalancer");
      const services = documents(yaml).filter(({ kind }) => kind === "Service") as unknown as readonly {
        metadata: { name: string };
        spec: { type?: string; ports: readonly { name: string; port: number }[] };
      }[];
      const ports = services.map(({ metadata, spec }) => [
        metadata.name,
        spec.type ?? "headless",
        ...spec.ports.map(({ name, port }) => `${name} ${port}`),
      ]);
      expect(ports.filter(([, type]) => type !== "headless")).toEqual([
        ["piko-clients", "LoadBalancer", "proxy 8000"],
        ["piko-agents", "ClusterIP", "upstream 8001"],
      ]);
    });

    describe("as for who reaches which port", () => {
      const nodes = {
        podSelector: {
          matchLabels: { "app.kubernetes.io/name": "piko", "app.kubernetes.io/instance": "piko" },
        },
      };
      const outside = (namespace: string): object => ({
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
      });
      /** Each policy's only rule: its ports, and who may come; undefined is everybody. */
      const policies = async (...args: readonly string[]): Promise<unknown> =>
        Object.fromEntries(
          documents(await render(...args))
            .filter(({ kind }) => kind === "NetworkPolicy")
            .map(({ metadata, spec }) => {
              const [rule, ...more] = spec["ingress"] as readonly {
                ports: readonly { port: string }[];
                from?: unknown;
              }[];
              expect(more).toEqual([]);
              expect(spec).toMatchObject({ ...nodes, policyTypes: ["Ingress"] });
              return [metadata.name, [rule?.ports.map(({ port }) => port).join(), rule?.from]];
            }),
        );

      it("has no opinion unless asked", async () => {
        expect(await policies()).toEqual({});
      });

      it("lets everybody be client or agent, and nobody but the nodes gossip or reach the admin port", async () => {
        expect(await policies("--set", "networkPolicy.enabled=true")).toEqual({
          "piko-proxy": ["proxy", undefined],
          "piko-upstream": ["upstream", undefined],
          "piko-admin": ["admin", [nodes]],
          "piko-gossip": ["gossip,gossip-udp", [nodes]],
        });
      });

      it("takes a list for each port", async () => {
        expect(await policies("--values", everything)).toEqual({
          "piko-proxy": ["proxy", [nodes, outside("gateways")]],
          "piko-upstream": ["upstream", [{ ipBlock: { cidr: "198.51.100.0/24" } }]],
          "piko-admin": ["admin", [nodes, outside("monitoring")]],
          "piko-gossip": ["gossip,gossip-udp", [nodes]],
        });
      });
    });

    it("routes without a time limit of the gateway's own", async () => {
      const route = find(await render("--values", everything), "HTTPRoute", "piko-upstream");
      expect(route?.apiVersion).toBe("gateway.networking.k8s.io/v1");
      expect(route?.spec).toMatchObject({
        hostnames: ["upstream.example.com"],
        rules: [{ timeouts: { request: "0s" }, backendRefs: [{ name: "piko-agents", port: 81 }] }],
      });
    });

    it("leads each Ingress to the Service of its port", async () => {
      const yaml = await render("--values", everything);
      const backends = ["piko-proxy", "piko-upstream"].map(
        (name) => /service":(\{.*?\}\})/.exec(JSON.stringify(find(yaml, "Ingress", name)?.spec))?.[1],
      );
      expect(backends).toEqual([
        '{"name":"piko-clients","port":{"name":"proxy"}}',
        '{"name":"piko-agents","port":{"name":"upstream"}}',
      ]);
    });

    it("has Prometheus scrape each node, under the name of its pod", async () => {
      const yaml = await render("--values", everything);
      const monitor = find(yaml, "ServiceMonitor", "piko")?.spec as unknown as {
        selector: { matchLabels: Record<string, string> };
        endpoints: readonly { port: string }[];
      };
      const peers = find(yaml, "Service", "piko") as unknown as {
        metadata: { labels: Record<string, string> };
        spec: { ports: readonly { name: string }[] };
      };
      expect(peers.metadata.labels).toMatchObject(monitor.selector.matchLabels);
      expect(peers.spec.ports.map(({ name }) => name)).toContain(monitor.endpoints[0]?.port);
    });

    it.each([
      [
        "a key that the server doesn't know",
        "config.grace_perod=1m",
        "additional properties 'grace_perod' not allowed",
      ],
      ["a duration without a unit", "config.proxy.timeout=5", "/config/proxy/timeout"],
      [
        "a word where a number belongs",
        "config.proxy.limits.max_connections=many",
        "/config/proxy/limits/max_connections",
      ],
      ["a value that the chart doesn't know", "replicas=5", "additional properties 'replicas' not allowed"],
      ["a number of nodes that is none", "replicaCount=three", "got string, want integer"],
      ["a pull policy that doesn't exist", "image.pullPolicy=Sometimes", "/image/pullPolicy"],
      [
        "too short a time to stop",
        "terminationGracePeriodSeconds=60",
        "has to be above config.grace_period (1m)",
      ],
      ["an Ingress without hosts", "ingress.proxy.enabled=true", "ingress.proxy.hosts is required"],
      ["a route without a gateway", "httpRoute.proxy.enabled=true", "httpRoute.proxy.parentRefs is required"],
    ])("refuses %s", async (_, value, message) => {
      const { code, stderr } = await template("--set", value);
      expect(stderr).toContain(message);
      expect(code).toBe(1);
    });
  });
});
