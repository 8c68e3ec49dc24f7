// Values of both charts: names, the image, and settings of the pods.

import { count, flag, group, list, map, text, words } from "./vocabulary.mjs";

export const naming = {
  nameOverride: text("Replaces the chart's name in names and labels."),
  fullnameOverride: text("Replaces the name of all created objects."),
  namespaceOverride: text("Namespace of all created objects. Empty: the release's."),
  commonLabels: map("Labels of all created objects, including pods."),
};

/** Helm passes these to a chart that another one depends on. */
export const asDependency = {
  global: map("Values that Helm shares with parent charts. Unused."),
  enabled: flag("For parent charts that use it as a `condition`. Unused."),
};

export const image = (repository) => ({
  image: group({
    registry: text("Registry, such as `registry.example.com`. Empty if the repository includes it."),
    repository,
    tag: text("Tag of the image. Empty: the chart's `appVersion`."),
    digest: text("Digest of the image (`sha256:...`), instead of a tag.", {
      pattern: "^(sha256:[0-9a-f]{64})?$",
    }),
    pullPolicy: text("Pull policy of the image.", { enum: ["Always", "IfNotPresent", "Never"] }),
  }),
  imagePullSecrets: list("Secrets for pulling the image.", { type: "object" }),
});

export const terminationGracePeriodSeconds = {
  description:
    "Seconds until a stopping pod is killed. The default is 15 more than `config.grace_period` (1m). Must be longer than that.",
  type: ["integer", "null"],
  minimum: 1,
};

export const serviceAccount = (program) =>
  group({
    create: flag(
      `Creates a service account for the pods. They never get a token: ${program} doesn't use the Kubernetes API.`,
    ),
    name: text("Name of the account. Empty: the release's."),
    annotations: map("Annotations of the account."),
  });

export const monitor = (kind) =>
  group({
    enabled: flag(`Creates a ${kind} for the Prometheus operator.`),
    labels: map("Labels by which the operator selects it."),
    interval: text("Scrape interval.", { pattern: "^[0-9]+(ms|s|m|h)$" }),
    scrapeTimeout: text("Scrape timeout.", { pattern: "^[0-9]+(ms|s|m|h)$" }),
    relabelings: list("Relabeling of targets before the scrape.", { type: "object" }),
    metricRelabelings: list("Relabeling of samples after the scrape.", { type: "object" }),
  });

export const podDisruptionBudget = (description) =>
  group({
    enabled: flag(description),
    maxUnavailable: {
      description: "Maximum number, or percentage, of pods that are unavailable.",
      anyOf: [
        { type: "integer", minimum: 0 },
        { type: "string", pattern: "^[0-9]{1,3}%$" },
      ],
    },
  });

/** Settings of the pods and of the container in which `program` runs. */
export const pods = (program) => ({
  podSecurityContext: map("Security context of the pods. Default: not root."),
  securityContext: map("Security context of the container. Default: no capabilities and a read-only root."),
  topologySpreadConstraints: list(
    "How pods are spread over zones and machines. A missing `labelSelector` selects the release's pods.",
    { type: "object" },
  ),
  nodeSelector: map("Machines that the pods may run on."),
  tolerations: list("Taints that the pods tolerate.", { type: "object" }),
  affinity: map("Affinity of the pods."),
  priorityClassName: text("Priority class of the pods."),
  runtimeClassName: text("Runtime class of the pods."),
  dnsPolicy: text("DNS policy of the pods. Empty: the cluster's default."),
  dnsConfig: map("DNS configuration of the pods."),
  hostAliases: list("Additional lines of the pods' `/etc/hosts`.", { type: "object" }),
  revisionHistoryLimit: {
    ...count("Number of old revisions kept for rollbacks. Kubernetes' default is 10."),
    type: ["integer", "null"],
  },
  podAnnotations: map("Additional annotations of the pods."),
  podLabels: map("Additional labels of the pods."),
  lifecycle: map("Lifecycle hooks of the container. None are needed: a stopping pod drains by itself."),
  initContainers: list("Init containers.", { type: "object" }),
  extraContainers: list("Additional containers.", { type: "object" }),
  extraArgs: words(`Additional arguments of \`${program}\`. Flags override \`config\`.`),
  extraEnv: list("Additional environment variables, which `config` may refer to.", { type: "object" }),
  extraEnvFrom: list("Secrets and ConfigMaps whose keys become environment variables.", { type: "object" }),
  extraVolumes: list("Additional volumes, such as Secrets with certificates.", { type: "object" }),
  extraVolumeMounts: list("Mounts of these volumes.", { type: "object" }),
  extraObjects: list(
    "Additional objects of the release, as YAML or as text. Both are templates with access to the chart's values.",
    { type: ["object", "string"] },
  ),
});
