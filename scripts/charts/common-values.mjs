// Values that both charts have: what everything is called, which image runs, and what is said of the pods.

import { count, flag, group, list, map, text, words } from "./vocabulary.mjs";

export const naming = {
  nameOverride: text("Replaces the chart's name in names and labels."),
  fullnameOverride: text("Replaces the name of everything that is created."),
  namespaceOverride: text("Namespace of everything that is created; empty for the release's."),
  commonLabels: map("Labels of everything that is created, pods included."),
};

/** Helm hands these to a chart that another one depends on. */
export const asDependency = {
  global: map("Values that Helm shares with charts around this one; unused here."),
  enabled: flag("For a chart that depends on this one by a `condition`; unused here."),
};

export const image = (repository) => ({
  image: group({
    registry: text("The registry, such as `registry.example.com`; empty when the repository names it."),
    repository,
    tag: text("Its tag; empty for the chart's `appVersion`."),
    digest: text("Its digest (`sha256:...`), in place of a tag.", { pattern: "^(sha256:[0-9a-f]{64})?$" }),
    pullPolicy: text("When it is pulled.", { enum: ["Always", "IfNotPresent", "Never"] }),
  }),
  imagePullSecrets: list("Secrets to pull it with.", { type: "object" }),
});

export const terminationGracePeriodSeconds = {
  description:
    "Seconds until a pod that was told to stop is killed. By default 15 more than `config.grace_period` (1m); a value that isn't above it is refused.",
  type: ["integer", "null"],
  minimum: 1,
};

export const serviceAccount = (whoNeverAsks) =>
  group({
    create: flag(
      `Creates an account for the pods. They get no token in any case: ${whoNeverAsks} never talks to Kubernetes.`,
    ),
    name: text("Its name; empty for the release's."),
    annotations: map("Its annotations."),
  });

export const monitor = (kind) =>
  group({
    enabled: flag(`Creates a ${kind} for the Prometheus operator.`),
    labels: map("Labels that the operator selects it by."),
    interval: text("Time between two scrapes.", { pattern: "^[0-9]+(ms|s|m|h)$" }),
    scrapeTimeout: text("Time for one scrape.", { pattern: "^[0-9]+(ms|s|m|h)$" }),
    relabelings: list("Relabeling of targets before the scrape.", { type: "object" }),
    metricRelabelings: list("Relabeling of samples after the scrape.", { type: "object" }),
  });

export const podDisruptionBudget = (description) =>
  group({
    enabled: flag(description),
    maxUnavailable: {
      description: "That many.",
      anyOf: [
        { type: "integer", minimum: 0 },
        { type: "string", pattern: "^[0-9]{1,3}%$" },
      ],
    },
  });

/** What is said of the pods and of the container, `program` in it. */
export const pods = (program) => ({
  podSecurityContext: map("Security context of the pods: not root, by default."),
  securityContext: map(
    "Security context of the container: no capabilities and a read-only root, by default.",
  ),
  topologySpreadConstraints: list(
    "How pods spread over zones and machines; a missing `labelSelector` is the release's own.",
    { type: "object" },
  ),
  nodeSelector: map("Machines that the pods may run on."),
  tolerations: list("Taints that the pods tolerate.", { type: "object" }),
  affinity: map("Their affinity."),
  priorityClassName: text("Their priority class."),
  runtimeClassName: text("Their runtime class."),
  dnsPolicy: text("Their DNS policy; empty for the cluster's default."),
  dnsConfig: map("Their DNS configuration."),
  hostAliases: list("Further lines of their `/etc/hosts`.", { type: "object" }),
  revisionHistoryLimit: {
    ...count("How many old revisions are kept for a rollback; Kubernetes' default is 10."),
    type: ["integer", "null"],
  },
  podAnnotations: map("Further annotations of the pods."),
  podLabels: map("Further labels of the pods."),
  lifecycle: map(
    "Lifecycle hooks of the container. None is needed: a pod that is told to stop drains by itself.",
  ),
  initContainers: list("Containers that run before.", { type: "object" }),
  extraContainers: list("Containers that run beside.", { type: "object" }),
  extraArgs: words(`Further arguments of \`${program}\`; flags win over \`config\`.`),
  extraEnv: list("Further environment variables, which `config` may refer to.", { type: "object" }),
  extraEnvFrom: list("Secrets and ConfigMaps whose keys become environment variables.", { type: "object" }),
  extraVolumes: list("Further volumes, such as Secrets with certificates.", { type: "object" }),
  extraVolumeMounts: list("Where they are mounted.", { type: "object" }),
  extraObjects: list(
    "Further objects of the release, as YAML or as text; both are templates that see the chart's values.",
    { type: ["object", "string"] },
  ),
});
