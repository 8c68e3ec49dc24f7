// The server's chart, rendered by Helm without a cluster: what it creates, and which values it rejects.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { perFile } from "../harness/stage.js";
import { haveGoTools } from "./harness/go-tools.js";
import { Chart, documents, find, KUBE_VERSIONS, problems, ROOT } from "./harness/manifests.js";

const chart = new Chart(join(ROOT, "deploy/helm/piko"), "piko");
const render = (...args: readonly string[]): Promise<string> => chart.render(...args);

describe.runIf(haveGoTools())("the server's chart", () => {
  const stage = perFile();
  let folder = "";
  beforeAll(async () => {
    folder = await stage.directory();
  });

  it("passes Helm's own checks", async () => {
    const { code, stdout } = await chart.lint();
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
  ])("renders manifests that Kubernetes accepts, %s", async (_, args) => {
    expect(await problems(await render(...args), folder)).toBe("");
  });

  it("takes a certificate from a Secret for the ports of clients and agents, and for connections between nodes", async () => {
    const config = (yaml: string): unknown =>
      parseAllDocuments(find(yaml, "ConfigMap", "piko")?.data?.["server.yaml"] ?? "")[0]?.toJS();
    const plain = await render("--set", "tls.mode=required,tls.serverName=piko.test");
    expect(plain).not.toContain("/tls");
    const secure = await render(
      ...["--set", "tls.secretName=own,tls.serverName=piko.test,tls.ca=ca.crt"],
      ...["--set", "config.upstream.tls.client_cas=/tls/ca.crt"],
    );
    const files = { cert: "/tls/tls.crt", key: "/tls/tls.key", mode: "optional" };
    expect(config(secure)).toMatchObject({
      proxy: { tls: { ...files, client: { server_name: "piko.test", root_cas: "/tls/ca.crt" } } },
      upstream: { tls: { ...files, client_cas: "/tls/ca.crt" } },
    });
    const pods = JSON.stringify(find(secure, "StatefulSet", "piko")?.spec);
    expect(pods).toContain('{"name":"tls","secret":{"secretName":"own"}}');
    expect(pods).toContain('{"name":"tls","mountPath":"/tls","readOnly":true}');
    const publicly = await render("--set", "tls.secretName=own,tls.serverName=piko.test");
    expect(publicly).not.toContain("root_cas");
    await expect(render("--set", "tls.secretName=own")).rejects.toThrow("tls.serverName");
  });

  it("takes the gossip keys from a Secret, and leaves gossip unencrypted without one", async () => {
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

  it.each(KUBE_VERSIONS)("creates nothing that Kubernetes %s rejects", async (version) => {
    expect(await problems(await render("--values", everything), folder, version)).toBe("");
  });

  it("gives everything the namespace and the labels that the values name", async () => {
    const all = documents(
      await render(
        ...["--values", everything, "--set", "namespaceOverride=edge"],
        // The chart finds its pods by its own labels, so the values can't replace those.
        ...["--set", "commonLabels.team=edge,commonLabels.app\\.kubernetes\\.io/name=other"],
      ),
    );
    // The user's own objects stay as written.
    const created = all.filter(({ metadata }) => metadata.name !== "piko-banner");
    expect(created.length).toBeGreaterThan(15);
    for (const { metadata } of created.filter(({ metadata: { name } }) => name !== "piko-test")) {
      expect(metadata).toMatchObject({
        namespace: "edge",
        labels: { team: "edge", "app.kubernetes.io/name": "piko" },
      });
    }
  });

  it("adds the containers, hooks and volumes from the values", async () => {
    const yaml = await render("--values", everything);
    expect(find(yaml, "StatefulSet", "piko")?.spec).toMatchObject({
      updateStrategy: { rollingUpdate: { partition: 1 } },
      revisionHistoryLimit: 3,
      template: {
        spec: {
          initContainers: [{ name: "wait" }],
          containers: [
            { name: "piko", lifecycle: { preStop: { exec: { command: ["true"] } } } },
            { name: "log-shipper" },
          ],
          dnsConfig: { options: [{ name: "ndots", value: "2" }] },
          hostAliases: [{ ip: "192.0.2.1", hostnames: ["proxy.internal"] }],
        },
      },
    });
    expect(find(yaml, "ConfigMap", "piko-banner")?.data).toEqual({ release: "piko", text: "hello" });
    expect(find(yaml, "PodMonitor", "piko")?.spec).toMatchObject({
      podMetricsEndpoints: [{ port: "admin", relabelings: [{ targetLabel: "machine" }] }],
    });
    expect(find(yaml, "HorizontalPodAutoscaler", "piko")?.spec).toMatchObject({
      metrics: [{ resource: { name: "cpu" } }, { resource: { name: "memory" } }],
    });
    expect(find(yaml, "Service", "piko-agents")).toMatchObject({
      metadata: { labels: { "example.com/public": "no" } },
      spec: { ports: [{ port: 81, nodePort: 30_081 }] },
    });
  });

  it("uses the registry that the values name", async () => {
    const yaml = await render("--set", "image.registry=registry.example.com,image.tag=1.2.3");
    expect(yaml).toContain('image: "registry.example.com/my-repo/piko:1.2.3"');
  });

  it.each([
    ["existingConfigMap=settings", { configMap: { name: "settings" } }],
    ["existingSecret=settings", { secret: { secretName: "settings" } }],
  ])("leaves the configuration to its owner (%s)", async (value, source) => {
    const yaml = await render("--set", value);
    expect(find(yaml, "ConfigMap", "piko")).toBeUndefined();
    expect(yaml).not.toContain("checksum/config");
    expect(find(yaml, "StatefulSet", "piko")?.spec).toMatchObject({
      template: { spec: { volumes: [{ name: "config", ...source }] } },
    });
  });

  it("is part of a parent chart if the parent's condition is set", async () => {
    const parent = join(folder, "platform");
    mkdirSync(join(parent, "charts"), { recursive: true });
    cpSync(chart.path, join(parent, "charts/piko"), { recursive: true });
    writeFileSync(
      join(parent, "Chart.yaml"),
      "apiVersion: v2\nname: platform\nversion: 1.0.0\ndependencies: [{ name: piko, version: 0.1.0, condition: piko.enabled }]\n",
    );
    const platform = new Chart(parent, "edge");
    const made = async (...args: readonly string[]): Promise<readonly string[]> =>
      documents(await platform.render(...args)).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(await made("--set", "piko.enabled=false")).toEqual([]);
    expect(await made("--set", "piko.enabled=true,global.anything=1")).toContain("StatefulSet edge-piko");
  });

  it("gives a node more time to stop than it needs", async () => {
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

  it("restarts pods when their configuration changes, and not otherwise", async () => {
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

  describe("network policies", () => {
    const nodes = {
      podSelector: {
        matchLabels: { "app.kubernetes.io/name": "piko", "app.kubernetes.io/instance": "piko" },
      },
    };
    const outside = (namespace: string): object => ({
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
    });
    /** Each policy's only rule: its ports, and the permitted sources; undefined permits everyone. */
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

    it("are absent by default", async () => {
      expect(await policies()).toEqual({});
    });

    it("let everyone reach the proxy and upstream ports, and only the nodes the gossip and admin ports", async () => {
      expect(await policies("--set", "networkPolicy.enabled=true")).toEqual({
        "piko-proxy": ["proxy", undefined],
        "piko-upstream": ["upstream", undefined],
        "piko-admin": ["admin", [nodes]],
        "piko-gossip": ["gossip,gossip-udp", [nodes]],
      });
    });

    it("take a list of sources for each port", async () => {
      expect(await policies("--values", everything)).toEqual({
        "piko-proxy": ["proxy", [nodes, outside("gateways")]],
        "piko-upstream": ["upstream", [{ ipBlock: { cidr: "198.51.100.0/24" } }]],
        "piko-admin": ["admin", [nodes, outside("monitoring")]],
        "piko-gossip": ["gossip,gossip-udp", [nodes]],
      });
    });
  });

  it("disables the gateway's own timeout for routes", async () => {
    const route = find(await render("--values", everything), "HTTPRoute", "piko-upstream");
    expect(route?.apiVersion).toBe("gateway.networking.k8s.io/v1");
    expect(route?.spec).toMatchObject({
      hostnames: ["upstream.example.com"],
      rules: [{ timeouts: { request: "0s" }, backendRefs: [{ name: "piko-agents", port: 81 }] }],
    });
  });

  it("points each Ingress to the Service of its port", async () => {
    const yaml = await render("--values", everything);
    const backends = ["piko-proxy", "piko-upstream"].map(
      (name) => /service":(\{.*?\}\})/.exec(JSON.stringify(find(yaml, "Ingress", name)?.spec))?.[1],
    );
    expect(backends).toEqual([
      '{"name":"piko-clients","port":{"name":"proxy"}}',
      '{"name":"piko-agents","port":{"name":"upstream"}}',
    ]);
  });

  it("has the Prometheus rules of deploy/prometheus, and the user's own", async () => {
    const rules = async (...args: readonly string[]): Promise<unknown> =>
      documents(await render("--set", "prometheusRule.enabled=true", ...args)).find(
        ({ kind }) => kind === "PrometheusRule",
      )?.spec["groups"];
    const text = readFileSync(join(ROOT, "deploy/prometheus/rules.yaml"), "utf8");
    const groups = (changed: string): unknown[] => (parse(changed) as { groups: unknown[] }).groups;
    expect(await rules()).toEqual(groups(text));
    const linked = groups(text.replaceAll("runbook_url: ", "runbook_url: https://git.example.com/piko/"));
    const all = (await rules("--values", everything)) as unknown[];
    expect(all.slice(0, -1)).toEqual(linked);
    expect(all.at(-1)).toMatchObject({ name: "own" });
    // The alert PikoDown finds nodes by the name of the job.
    const named = groups(text.replace(".*piko.*", ".*(piko|edge).*"));
    expect(await rules("--set", "fullnameOverride=edge")).toEqual(named);
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
    ["a number of nodes that isn't a number", "replicaCount=three", "got string, want integer"],
    ["a pull policy that doesn't exist", "image.pullPolicy=Sometimes", "/image/pullPolicy"],
    [
      "too short a time to stop",
      "terminationGracePeriodSeconds=60",
      "has to be above config.grace_period (1m)",
    ],
    [
      "a PrometheusRule without rules",
      "prometheusRule.enabled=true,prometheusRule.defaultRules=false",
      "prometheusRule.groups is required",
    ],
    [
      "a configuration in two places",
      "existingConfigMap=a,existingSecret=b",
      "the configuration is in one of them",
    ],
    ["an Ingress without hosts", "ingress.proxy.enabled=true", "ingress.proxy.hosts is required"],
    ["a route without a gateway", "httpRoute.proxy.enabled=true", "httpRoute.proxy.parentRefs is required"],
  ])("rejects %s", async (_, value, message) => {
    const { code, stderr } = await chart.template("--set", value);
    expect(stderr).toContain(message);
    expect(code).toBe(1);
  });
});
