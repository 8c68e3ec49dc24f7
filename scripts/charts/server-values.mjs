// The values of deploy/helm/piko with their meanings; the defaults are in its values.yaml. `config` is the server's own
// declaration.

import {
  asDependency,
  image,
  monitor,
  naming,
  podDisruptionBudget,
  pods,
  serviceAccount,
  terminationGracePeriodSeconds,
} from "./common-values.mjs";
import { count, flag, group, list, map, port, probe, text, words } from "./vocabulary.mjs";

const ingress = (what) =>
  group({
    enabled: flag(`Creates an Ingress for the ${what} port.`),
    className: text("Class of the Ingress. Empty: the cluster's default."),
    annotations: map("Annotations of the Ingress, such as the controller's timeouts."),
    hosts: words(
      "Hosts of the Ingress, such as `*.piko.example.com` for the proxy port, `piko-agents.example.com` for the upstream port. Required.",
    ),
    tls: list("TLS section of the Ingress.", { type: "object" }),
  });
const route = (what) =>
  group({
    enabled: flag(`Creates an HTTPRoute (Gateway API) for the ${what} port, without timeouts.`),
    annotations: map("Annotations of the HTTPRoute."),
    parentRefs: list("Gateways of the HTTPRoute. Required.", { type: "object" }),
    hostnames: words("Host names of the HTTPRoute."),
  });

const AGENTS_REACH = " Without authentication, anyone who reaches it can listen on any endpoint.";
const service = (whose, warning) =>
  group({
    type: text(`Type of the Service for ${whose}.${warning}`, {
      enum: ["ClusterIP", "NodePort", "LoadBalancer"],
    }),
    port: port("Port of the Service."),
    nodePort: {
      ...port("Port on each machine, for `NodePort` and `LoadBalancer`. Default: chosen by Kubernetes."),
      type: ["integer", "null"],
    },
    labels: map("Labels of the Service."),
    annotations: map("Annotations of the Service, such as settings of a cloud's load balancer."),
    loadBalancerClass: text("Class of the load balancer."),
    loadBalancerSourceRanges: words("Networks that may reach the load balancer."),
    ipFamilyPolicy: text("IPv4, IPv6 or both.", {
      enum: ["", "SingleStack", "PreferDualStack", "RequireDualStack"],
    }),
    externalTrafficPolicy: text("`Local` preserves client addresses.", {
      enum: ["", "Cluster", "Local"],
    }),
  });

/** JSON Schema of all values; `config` is the schema of the server's configuration. */
export function serverValues(config) {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    ...group({
      ...asDependency,
      ...image(text("The image, built from `deploy/docker/Dockerfile`.", { minLength: 1 })),
      ...naming,
      replicaCount: count("Number of nodes.", 0),
      minReadySeconds: count(
        "In a rolling update, how long a new node must be ready before the next one is replaced, so that load balancers can add it.",
      ),
      updateStrategy: map(
        "Update strategy of the StatefulSet. Kubernetes' default is a rolling update, one pod at a time.",
      ),
      terminationGracePeriodSeconds,
      config: {
        ...config,
        description:
          "The server's configuration file, with the settings in the [reference](../../../docs/reference/configuration.md#piko-server). The chart sets `cluster.node_id_prefix` and `cluster.join`, unless they are given here. `${NAME}` is replaced from the environment (`extraEnv`, and `POD_NAME`, `POD_IP`).",
      },
      existingConfigMap: text(
        "An existing ConfigMap whose key `server.yaml` contains the whole configuration, instead of `config`, including `cluster.join` and `cluster.node_id_prefix`. The chart still takes ports and `grace_period` from `config`, and doesn't restart pods when the ConfigMap changes.",
      ),
      existingSecret: text("An existing Secret, which is used like `existingConfigMap`."),
      gossipKeys: group({
        secretName: text(
          "A Secret with the keys for [encrypted gossip](../../../docs/guides/gossip-keys.md), `first` and `second`. Empty: plain gossip. Changes to the Secret apply without a restart.",
        ),
        encryption: text(
          "Sets `cluster.gossip.encryption` if there is a Secret. Move through `accept`, `prefer` and `required`, with a separate upgrade for each.",
          { enum: ["off", "accept", "prefer", "required"] },
        ),
      }),
      tls: group({
        secretName: text(
          "A Secret of type `kubernetes.io/tls` for the proxy and upstream ports. Empty: plain ports. Changes to the Secret apply without a restart. The admin port stays plain, because probes neither present nor verify certificates.",
        ),
        mode: text(
          "`optional` also accepts plain connections. Move to `optional` first and then to `required`, with a separate upgrade for each: see the [TLS guide](../../../docs/guides/tls.md#turn-it-on-in-a-cluster).",
          { enum: ["optional", "required"] },
        ),
        serverName: text(
          "A name in the certificate. Required with a Secret. Nodes connect by address, so they verify each other by this name.",
        ),
        ca: text(
          "Key of the Secret with the certificate authority that nodes verify each other against, such as `ca.crt` of cert-manager. Empty: the public authorities.",
        ),
      }),
      service: group({ clients: service("clients", ""), agents: service("agents", AGENTS_REACH) }),
      ingress: group({ proxy: ingress("proxy"), upstream: ingress("upstream") }),
      httpRoute: group({ proxy: route("proxy"), upstream: route("upstream") }),
      networkPolicy: group({
        enabled: flag(
          "Creates a NetworkPolicy for each port. Only nodes may reach the gossip port and, unless `monitoring` is set, the admin port.",
        ),
        clients: list(
          "Who may reach the proxy port besides the nodes (NetworkPolicy peers). Empty: everyone.",
          { type: "object" },
        ),
        agents: list("Who may reach the upstream port (NetworkPolicy peers). Empty: everyone.", {
          type: "object",
        }),
        monitoring: list(
          "Who may reach the admin port besides the nodes (NetworkPolicy peers). Empty: no one.",
          {
            type: "object",
          },
        ),
      }),
      serviceMonitor: monitor("ServiceMonitor"),
      podMonitor: monitor("PodMonitor"),
      prometheusRule: group({
        enabled: flag("Creates a PrometheusRule for the Prometheus operator."),
        labels: map("Labels by which the operator selects it."),
        defaultRules: flag(
          "Includes the [alerts](../../../docs/guides/alerts.md) of `deploy/prometheus/rules.yaml`.",
        ),
        docsUrl: text(
          "Address of this repository's files, ending in `/`, which is put in front of the paths in `runbook_url`.",
        ),
        groups: list("Further groups of rules.", { type: "object" }),
      }),
      podDisruptionBudget: podDisruptionBudget(
        "Limits how many nodes are evicted at a time when machines are drained or upgraded.",
      ),
      autoscaling: group({
        enabled: flag("Creates a HorizontalPodAutoscaler, instead of `replicaCount`."),
        minReplicas: count("Minimum number of nodes.", 1),
        maxReplicas: count("Maximum number of nodes.", 1),
        metrics: list("Additional metrics to scale by.", { type: "object" }),
        targetCPUUtilizationPercentage: count("Target CPU usage, as a percentage of the CPU request.", 1),
        scaleDownStabilizationSeconds: count(
          "How long load must stay low before a node is removed. At most one node is removed every two minutes.",
        ),
      }),
      serviceAccount: serviceAccount("the server"),
      resources: map("Requests and limits. A node uses one core. Without a CPU limit, it isn't throttled."),
      startupProbe: probe("Timing of the startup probe (`/health`)."),
      readinessProbe: probe("Timing of the readiness probe (`/ready`)."),
      livenessProbe: probe("Timing of the liveness probe (`/health`)."),
      ...pods("piko server"),
    }),
  };
}
