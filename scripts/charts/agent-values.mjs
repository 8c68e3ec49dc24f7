// The values of deploy/helm/piko-agent with their meanings; the defaults are in its values.yaml. `config` is the agent's own
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
import { count, group, map, probe, text } from "./vocabulary.mjs";

/** JSON Schema of all values; `config` is the schema of the agent's configuration. */
export function agentValues(config) {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    ...group({
      ...asDependency,
      ...image(text("The image, built from `deploy/docker/Dockerfile`; required.")),
      ...naming,
      replicaCount: count(
        "Number of agents. Each has its own tunnels: with two agents, one may stop at any time.",
        0,
      ),
      minReadySeconds: count(
        "In a rolling update, how long a new agent must be ready before the next one is replaced.",
      ),
      updateStrategy: map(
        "Update strategy of the Deployment. Default: no agent stops before another one is ready.",
      ),
      terminationGracePeriodSeconds,
      config: {
        ...config,
        description:
          "The agent's configuration file, with the settings in the [reference](../../../docs/reference/configuration.md#piko-agent). `connect.url` and `listeners` are required. The chart sets `server.enabled`, and `connect.token_file` if there is a token. `${NAME}` is replaced from the environment (`extraEnv`).",
      },
      existingConfigMap: text(
        "An existing ConfigMap whose key `agent.yaml` contains the whole configuration, instead of `config`. The chart still takes the port of `server.bind_addr` and `grace_period` from `config`, and doesn't restart pods when the ConfigMap changes.",
      ),
      existingSecret: text("An existing Secret, which is used like `existingConfigMap`."),
      token: group({
        secretName: text(
          "A Secret with the agent's token. Empty: no token. It is read again for each connection, so it can be replaced without a restart.",
        ),
        key: text("Key of the Secret with the token.", { minLength: 1 }),
      }),
      podMonitor: monitor("PodMonitor"),
      podDisruptionBudget: podDisruptionBudget(
        "Limits how many agents are evicted at a time when machines are drained.",
      ),
      serviceAccount: serviceAccount("the agent"),
      resources: map(
        "Requests and limits. Without a CPU request, an agent on a busy machine may pause, with all its requests.",
      ),
      readinessProbe: probe(
        "Timing of the readiness probe (`/ready`). The agent is ready while it is connected.",
      ),
      livenessProbe: probe("Timing of the liveness probe (`/health`)."),
      ...pods("piko agent start"),
    }),
  };
}
