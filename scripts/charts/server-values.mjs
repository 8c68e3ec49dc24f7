// The values of deploy/helm/piko, each with its meaning; the defaults are in its values.yaml. `config` is the server's own
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
    nodePort: {
      ...port("Its port on each machine, for `NodePort` and `LoadBalancer`; Kubernetes chooses one."),
      type: ["integer", "null"],
    },
    labels: map("Its labels."),
    annotations: map("Its annotations; a cloud's load balancer takes its settings from there."),
    loadBalancerClass: text("Its load balancer's class."),
    loadBalancerSourceRanges: words("Networks that may reach its load balancer."),
    ipFamilyPolicy: text("IPv4, IPv6 or both.", {
      enum: ["", "SingleStack", "PreferDualStack", "RequireDualStack"],
    }),
    externalTrafficPolicy: text("`Local` keeps the addresses of those who connect.", {
      enum: ["", "Cluster", "Local"],
    }),
  });

/** JSON Schema of all values; `config` is that of the server's configuration. */
export function serverValues(config) {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    ...group({
      ...asDependency,
      ...image(text("The image, built from `deploy/docker/Dockerfile`.", { minLength: 1 })),
      ...naming,
      replicaCount: count("Nodes.", 0),
      minReadySeconds: count(
        "In a rolling update, how long a new node has to be ready before the next one goes: time for load balancers to take it in.",
      ),
      updateStrategy: map(
        "Update strategy of the StatefulSet; Kubernetes' default is a rolling update, pod by pod.",
      ),
      terminationGracePeriodSeconds,
      config: {
        ...config,
        description:
          "The server's configuration file, setting by setting as in the [reference](../../../docs/reference/configuration.md#piko-server). Set by the chart, unless they are here: `cluster.node_id_prefix` and `cluster.join`. `${NAME}` comes from the environment (`extraEnv`, and `POD_NAME`, `POD_IP`).",
      },
      existingConfigMap: text(
        "A ConfigMap of yours whose key `server.yaml` is the configuration, in place of `config`, whole: `cluster.join` and `cluster.node_id_prefix` too. The chart takes ports and `grace_period` from `config` all the same, and doesn't roll pods over when the ConfigMap changes.",
      ),
      existingSecret: text("The same in a Secret."),
      gossipKeys: group({
        secretName: text(
          "A Secret with the keys that gossip is [encrypted](../../../docs/guides/gossip-keys.md) by, `first` and `second`; empty for plain gossip. Its changes reach the nodes without a restart.",
        ),
        encryption: text(
          "How far the cluster is: sets `cluster.gossip.encryption` where there is a Secret. `accept`, then `prefer`, then `required`, each by an upgrade of its own.",
          { enum: ["off", "accept", "prefer", "required"] },
        ),
      }),
      tls: group({
        secretName: text(
          "A Secret of type `kubernetes.io/tls` for the proxy and upstream ports; empty for plain ports. Its changes reach the nodes without a restart. The admin port stays plain: probes show no certificate, and verify none.",
        ),
        mode: text(
          "How far the cluster is: `optional` takes plain connections too, then `required`, each by an upgrade of its own ([steps](../../../docs/guides/tls.md#turn-it-on-in-a-cluster)).",
          { enum: ["optional", "required"] },
        ),
        serverName: text(
          "A name that the certificate is made out to; required with a Secret. Nodes, which connect by address, verify each other by it.",
        ),
        ca: text(
          "Key of the Secret with the authority that nodes verify each other by, such as the `ca.crt` of cert-manager; empty for the public ones.",
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
      serviceMonitor: monitor("ServiceMonitor"),
      podMonitor: monitor("PodMonitor"),
      prometheusRule: group({
        enabled: flag("Creates a PrometheusRule for the Prometheus operator."),
        labels: map("Labels that the operator selects it by."),
        groups: list("Its groups of rules; required.", { type: "object" }),
      }),
      podDisruptionBudget: podDisruptionBudget(
        "Limits how many nodes a drained machine or a cluster upgrade may take at a time.",
      ),
      autoscaling: group({
        enabled: flag("Creates a HorizontalPodAutoscaler, in place of `replicaCount`."),
        minReplicas: count("Fewest nodes.", 1),
        maxReplicas: count("Most nodes.", 1),
        metrics: list("Further metrics to scale by.", { type: "object" }),
        targetCPUUtilizationPercentage: count("CPU use to aim at, of what is requested.", 1),
        scaleDownStabilizationSeconds: count(
          "How long it has to be calm before a node goes; one goes every two minutes.",
        ),
      }),
      serviceAccount: serviceAccount("the server"),
      resources: map(
        "Requests and limits. One process uses one core; without a CPU limit nothing is throttled.",
      ),
      startupProbe: probe("Time limits of the startup probe (`/health`)."),
      readinessProbe: probe("Time limits of the readiness probe (`/ready`)."),
      livenessProbe: probe("Time limits of the liveness probe (`/health`)."),
      ...pods("piko server"),
    }),
  };
}
