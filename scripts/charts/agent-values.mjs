// The values of deploy/helm/piko-agent, each with its meaning; the defaults are in its values.yaml. `config` is the agent's
// own declaration.

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

/** JSON Schema of all values; `config` is that of the agent's configuration. */
export function agentValues(config) {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    ...group({
      ...asDependency,
      ...image(text("The image, built from `deploy/docker/Dockerfile`; required.")),
      ...naming,
      replicaCount: count("Agents. Each has tunnels of its own: with two, one can go at any time.", 0),
      minReadySeconds: count(
        "In a rolling update, how long a new agent has to be ready before the next one goes.",
      ),
      updateStrategy: map(
        "Update strategy of the Deployment: no agent goes before another one is ready, by default.",
      ),
      terminationGracePeriodSeconds,
      config: {
        ...config,
        // A token comes from a Secret, and a file with listeners comes whole.
        description:
          "The agent's configuration file, setting by setting as in the [reference](../../../docs/reference/configuration.md#piko-agent). `connect.url` and `listeners` are required. Set by the chart: `server.enabled`, and `connect.token_file` where there is a token. `${NAME}` comes from the environment (`extraEnv`).",
      },
      existingConfigMap: text(
        "A ConfigMap of yours whose key `agent.yaml` is the configuration, in place of `config`, whole. The chart takes the port of `server.bind_addr` and `grace_period` from `config` all the same, and doesn't roll pods over when the ConfigMap changes.",
      ),
      existingSecret: text("The same in a Secret."),
      token: group({
        secretName: text(
          "A Secret with the token that the agent authenticates with; empty for none. It is read anew for each connection, and a new one takes the old one's place without a restart.",
        ),
        key: text("The Secret's key that holds it.", { minLength: 1 }),
      }),
      podMonitor: monitor("PodMonitor"),
      podDisruptionBudget: podDisruptionBudget(
        "Limits how many agents a drained machine may take at a time.",
      ),
      serviceAccount: serviceAccount("the agent"),
      resources: map(
        "Requests and limits. An agent without a CPU request stands still on a busy machine, with everybody's requests.",
      ),
      readinessProbe: probe("Time limits of the readiness probe (`/ready`): ready while it is connected."),
      livenessProbe: probe("Time limits of the liveness probe (`/health`)."),
      ...pods("piko agent start"),
    }),
  };
}
