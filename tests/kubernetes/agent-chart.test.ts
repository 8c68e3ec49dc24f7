// The agents' chart, rendered by Helm without a cluster: what it creates, and which values it rejects.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { perFile } from "../harness/stage.js";
import { run } from "../harness/tools.js";
import { haveGoTools, toolPath } from "./harness/go-tools.js";
import { Chart, documents, find, KUBE_VERSION, KUBE_VERSIONS, problems, ROOT } from "./harness/manifests.js";

const chart = new Chart(join(ROOT, "deploy/helm/piko-agent"), "my-agent");
/** The minimal values that the chart accepts. */
const REQUIRED_VALUES = [
  "image.repository=my-repo/piko",
  "config.connect.url=http://piko-agents.piko:8001",
  "config.listeners[0].endpoint_id=my-endpoint",
  "config.listeners[0].addr=web:8080",
].flatMap((value) => ["--set", value]);

describe.runIf(haveGoTools())("the agents' chart", () => {
  const stage = perFile();
  let folder = "";
  beforeAll(async () => {
    folder = await stage.directory();
  });

  it("passes Helm's own checks", async () => {
    const { code, stdout } = await chart.lint(...REQUIRED_VALUES);
    expect(stdout).toContain("0 chart(s) failed");
    expect(code).toBe(0);
  });

  it.each(KUBE_VERSIONS)("creates manifests that Kubernetes %s accepts", async (version) => {
    const yaml = await chart.render(
      ...REQUIRED_VALUES,
      "--set",
      "token.secretName=my-agent",
      "--set",
      "podMonitor.enabled=true",
    );
    expect(await problems(yaml, folder, version)).toBe("");
    expect(documents(yaml).map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual(
      expect.arrayContaining([
        "ConfigMap my-agent-piko-agent",
        "Deployment my-agent-piko-agent",
        "PodDisruptionBudget my-agent-piko-agent",
        "PodMonitor my-agent-piko-agent",
        "ServiceAccount my-agent-piko-agent",
      ]),
    );
  });

  it("writes the agent's configuration: a port for the probes, and the token if there is one", async () => {
    const settings = async (...args: readonly string[]): Promise<unknown> => {
      const yaml = await chart.render(...REQUIRED_VALUES, ...args);
      return parse(find(yaml, "ConfigMap", "my-agent-piko-agent")?.data?.["agent.yaml"] ?? "");
    };
    const plain = {
      connect: { url: "http://piko-agents.piko:8001" },
      listeners: [{ endpoint_id: "my-endpoint", addr: "web:8080" }],
      server: { enabled: true, bind_addr: ":5000" },
    };
    expect(await settings()).toEqual(plain);
    expect(await settings("--set", "token.secretName=my-agent")).toEqual({
      ...plain,
      connect: { ...plain.connect, token_file: "/token/token" },
    });
  });

  it("mounts the Secret's key as the file that the agent reads", async () => {
    const yaml = await chart.render(...REQUIRED_VALUES, "--set", "token.secretName=my-agent,token.key=jwt");
    const pods = JSON.stringify(find(yaml, "Deployment", "my-agent-piko-agent")?.spec);
    expect(pods).toContain('"secret":{"secretName":"my-agent","items":[{"key":"jwt","path":"token"}]}');
    expect(pods).toContain('{"name":"token","mountPath":"/token","readOnly":true}');
  });

  it("requests CPU, gives agents time to drain, and stops none before its replacement is ready", async () => {
    const yaml = await chart.render(...REQUIRED_VALUES, "--set", "config.grace_period=30s");
    expect(find(yaml, "Deployment", "my-agent-piko-agent")?.spec).toMatchObject({
      replicas: 2,
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        spec: {
          terminationGracePeriodSeconds: 45,
          containers: [{ name: "agent", resources: { requests: { cpu: "100m" } } }],
        },
      },
    });
  });

  it("installs as its README shows", async () => {
    const readme = readFileSync(join(chart.path, "README.md"), "utf8");
    const [shown = ""] = [...readme.matchAll(/```yaml\n(image:[^`]*)```/g)].map(([, text = ""]) => text);
    const file = join(folder, "agent-values.yaml");
    writeFileSync(file, shown);
    const commands = [...readme.matchAll(/^helm .*$/gm)].map(([command]) => command);
    const [installed = "", upgraded = ""] = await Promise.all(
      commands.map(async (command) => {
        const values = command.replace("--reuse-values", "--values agent-values.yaml").split(" ").slice(4);
        const { code, stdout, stderr } = await run(
          toolPath("helm"),
          ["template", "my-agent", chart.path, ...KUBE_VERSION, ...values],
          { cwd: folder },
        );
        expect(stderr).toBe("");
        expect(code).toBe(0);
        return stdout;
      }),
    );
    expect(commands).toHaveLength(2);
    expect(installed).toContain("https://upstream.example.com");
    expect(upgraded).toContain("/token/token");
  });

  it("accepts the sidecar that its README shows", async () => {
    const readme = readFileSync(join(chart.path, "README.md"), "utf8");
    const [shown = ""] = [...readme.matchAll(/```yaml\n(spec:[^`]*)```/g)].map(([, text = ""]) => text);
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "web" }, ...(parse(shown) as object) };
    expect(await problems(JSON.stringify(pod), folder)).toBe("");
  });

  it.each([
    ["no image", "image.repository=", "image.repository is required"],
    ["no server", "config.connect.url=", "config.connect.url is required"],
    [
      "a key that the agent doesn't know",
      "config.connect.urll=x",
      "additional properties 'urll' not allowed",
    ],
    ["a listener without a service", "config.listeners[1].endpoint_id=x", "missing property 'addr'"],
    [
      "too short a time to stop",
      "terminationGracePeriodSeconds=60",
      "has to be above config.grace_period (1m)",
    ],
  ])("rejects %s", async (_, value, message) => {
    const { code, stderr } = await chart.template(...REQUIRED_VALUES, "--set", value);
    expect(stderr).toContain(message);
    expect(code).toBe(1);
  });

  it("reports which values a bare install lacks", async () => {
    const { stderr } = await chart.template("--set", "image.repository=my-repo/piko");
    expect(stderr).toContain("config.connect.url is required");
  });
});
