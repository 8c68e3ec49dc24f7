// The values of deploy/helm/piko, each with its meaning: generate-docs.mjs makes the chart's values.schema.json and the
// table of its README from this, from values.yaml (the defaults) and from the server's own declaration (`config`).

const text = (description, more = {}) => ({ description, type: "string", ...more });
const flag = (description) => ({ description, type: "boolean" });
const count = (description, minimum = 0) => ({ description, type: "integer", minimum });
const map = (description) => ({ description, type: "object" });
const list = (description, items = {}) => ({ description, type: "array", items });
const words = (description) => list(description, { type: "string", minLength: 1 });
const group = (properties, description = "") => ({
  ...(description === "" ? {} : { description }),
  type: "object",
  properties,
  additionalProperties: false,
});
const port = (description) => ({ description, type: "integer", minimum: 1, maximum: 65_535 });
const probe = (description) => ({
  description,
  type: "object",
  properties: Object.fromEntries(
    ["initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"].map(
      (name) => [name, { type: "integer", minimum: 0 }],
    ),
  ),
  additionalProperties: false,
});

const ingress = (what) =>
  group({
    enabled: flag(`Creates an Ingress to the ${what} port.`),
    className: text("Its class; empty for the cluster's default."),
    annotations: map("Its annotations; the controller's time limits are among them."),
    hosts: words("Its hosts, such as `*.piko.example.com`; required."),
    tls: list("Its TLS section.", { type: "object" }),
  });
const route = (what) =>
  group({
    enabled: flag(`Creates an HTTPRoute (Gateway API) to the ${what} port, without time limits of its own.`),
    annotations: map("Its annotations."),
    parentRefs: list("Its gateways; required.", { type: "object" }),
    hostnames: words("Its host names."),
  });

const AGENTS_REACH = " Without authentication, whoever reaches it can listen on any endpoint.";
const service = (whose, warning) =>
  group({
    type: text(`Type of the Service for ${whose}.${warning}`, {
      enum: ["ClusterIP", "NodePort", "LoadBalancer"],
    }),
    port: port("Its port."),
    annotations: map("Its annotations; a cloud's load balancer takes its settings from there."),
    loadBalancerClass: text("Its load balancer's class."),
    loadBalancerSourceRanges: words("Networks that may reach its load balancer."),
    externalTrafficPolicy: text("`Local` keeps the addresses of those who connect.", {
      enum: ["", "Cluster", "Local"],
    }),
  });

/** JSON Schema of all values; `config` is that of the server's configuration. */
export function chartValuesSchema(config) {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    ...group({
      global: map("Values that Helm shares with charts around this one; unused here."),
      image: group({
        repository: text("The image, built from `deploy/docker/Dockerfile`.", { minLength: 1 }),
        tag: text("Its tag; empty for the chart's `appVersion`."),
        digest: text("Its digest (`sha256:...`), in place of a tag.", {
          pattern: "^(sha256:[0-9a-f]{64})?$",
        }),
        pullPolicy: text("When it is pulled.", { enum: ["Always", "IfNotPresent", "Never"] }),
      }),
      imagePullSecrets: list("Secrets to pull it with.", { type: "object" }),
      nameOverride: text("Replaces the chart's name in names and labels."),
      fullnameOverride: text("Replaces the name of everything that is created."),
      replicaCount: count("Nodes.", 0),
      minReadySeconds: count(
        "In a rolling update, how long a new node has to be ready before the next one goes: time for load balancers to take it in.",
      ),
      terminationGracePeriodSeconds: {
        description:
          "Seconds until a pod that was told to stop is killed. By default 15 more than `config.grace_period` (1m); a value that isn't above it is refused.",
        type: ["integer", "null"],
        minimum: 1,
      },
      config: {
        ...config,
        description:
          "The server's configuration file, setting by setting as in the [reference](../../../docs/reference/configuration.md#piko-server). Set by the chart, unless they are here: `cluster.node_id_prefix` and `cluster.join`. `${NAME}` comes from the environment (`extraEnv`, and `POD_NAME`, `POD_IP`).",
      },
      gossipKeys: group({
        secretName: text(
          "A Secret with the keys that gossip is [encrypted](../../../docs/guides/gossip-keys.md) by, `first` and `second`; empty for plain gossip. Its changes reach the nodes without a restart.",
        ),
        encryption: text(
          "How far the cluster is: sets `cluster.gossip.encryption` where there is a Secret. `accept`, then `prefer`, then `required`, each by an upgrade of its own.",
          { enum: ["off", "accept", "prefer", "required"] },
        ),
      }),
      service: group({ clients: service("clients", ""), agents: service("agents", AGENTS_REACH) }),
      ingress: group({ proxy: ingress("proxy"), upstream: ingress("upstream") }),
      httpRoute: group({ proxy: route("proxy"), upstream: route("upstream") }),
      networkPolicy: group({
        enabled: flag(
          "Creates a policy for each port: only the nodes themselves reach the gossip port, and nobody else the admin port.",
        ),
        clients: list(
          "Who may reach the proxy port besides the nodes (NetworkPolicy peers); empty for everybody.",
          { type: "object" },
        ),
        agents: list("Who may reach the upstream port (NetworkPolicy peers); empty for everybody.", {
          type: "object",
        }),
        monitoring: list("Who may reach the admin port besides the nodes (NetworkPolicy peers).", {
          type: "object",
        }),
      }),
      serviceMonitor: group({
        enabled: flag("Creates a ServiceMonitor for the Prometheus operator."),
        labels: map("Labels that the operator selects it by."),
        interval: text("Time between two scrapes.", { pattern: "^[0-9]+(ms|s|m|h)$" }),
        scrapeTimeout: text("Time for one scrape.", { pattern: "^[0-9]+(ms|s|m|h)$" }),
      }),
      podDisruptionBudget: group({
        enabled: flag("Limits how many nodes a drained machine or a cluster upgrade may take at a time."),
        maxUnavailable: {
          description: "That many.",
          anyOf: [
            { type: "integer", minimum: 0 },
            { type: "string", pattern: "^[0-9]{1,3}%$" },
          ],
        },
      }),
      autoscaling: group({
        enabled: flag("Creates a HorizontalPodAutoscaler, in place of `replicaCount`."),
        minReplicas: count("Fewest nodes.", 1),
        maxReplicas: count("Most nodes.", 1),
        targetCPUUtilizationPercentage: count("CPU use to aim at, of what is requested.", 1),
        scaleDownStabilizationSeconds: count(
          "How long it has to be calm before a node goes; one goes every two minutes.",
        ),
      }),
      serviceAccount: group({
        create: flag(
          "Creates an account for the pods. They get no token in any case: the server never talks to Kubernetes.",
        ),
        name: text("Its name; empty for the release's."),
        annotations: map("Its annotations."),
      }),
      resources: map(
        "Requests and limits. One process uses one core; without a CPU limit nothing is throttled.",
      ),
      startupProbe: probe("Time limits of the startup probe (`/health`)."),
      readinessProbe: probe("Time limits of the readiness probe (`/ready`)."),
      livenessProbe: probe("Time limits of the liveness probe (`/health`)."),
      podSecurityContext: map("Of the pods: not root, by default."),
      securityContext: map("Of the container: no capabilities and a read-only root, by default."),
      topologySpreadConstraints: list(
        "How pods spread over zones and machines; a missing `labelSelector` is the release's own.",
        { type: "object" },
      ),
      nodeSelector: map("Machines that the pods may run on."),
      tolerations: list("Taints that the pods tolerate.", { type: "object" }),
      affinity: map("Their affinity."),
      priorityClassName: text("Their priority class."),
      podAnnotations: map("Further annotations of the pods."),
      podLabels: map("Further labels of the pods."),
      extraArgs: words("Further arguments of `piko server`; flags win over `config`."),
      extraEnv: list("Further environment variables, which `config` may refer to.", { type: "object" }),
      extraEnvFrom: list("Secrets and ConfigMaps whose keys become environment variables.", {
        type: "object",
      }),
      extraVolumes: list("Further volumes, such as Secrets with certificates.", { type: "object" }),
      extraVolumeMounts: list("Where they are mounted.", { type: "object" }),
    }),
  };
}

/** Rows of the README's table; what is inside of `config` is in the reference. */
export function chartValuesRows(schema, defaults, path = "") {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const full = path === "" ? name : `${path}.${name}`;
    if (full === "global") return [];
    const isGroup = value.properties !== undefined && value.description === undefined;
    if (isGroup) return chartValuesRows(value, defaults?.[name], full);
    const fallback = defaults?.[name];
    const shown = fallback === undefined || fallback === null ? "" : `\`${JSON.stringify(fallback)}\``;
    return [`| \`${full}\` | ${shown.length > 60 ? "see values.yaml" : shown} | ${value.description} |`];
  });
}
