// The Kubernetes documents, as far as they can be tested without a cluster: configurations and Helm commands are rendered,
// manifests are made as in the guide, and objects that other commands name must exist.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { commandsOf, fencesOf, kindOf, ROOT } from "../docs/fences.js";
import { perFile } from "../harness/stage.js";
import { findTool, run, type ToolResult } from "../harness/tools.js";
import { haveGoTools, toolPath } from "./harness/go-tools.js";

const GUIDE = "docs/guides/kubernetes.md";
const CHART = "deploy/helm/piko/README.md";
const IMAGE = "my-repo/piko:0.1.0";
/** Helm built from its module doesn't know a Kubernetes version by default. */
const KUBE_VERSION = "--kube-version 1.34.0";

/** Commands that are not run, by how they begin. */
const NOT_RUN: readonly { command: string; reason: string }[] = [
  { command: "docker ", reason: "needs a container engine; cluster/ builds this Dockerfile where it can" },
  { command: "helm -n piko test ", reason: "needs a cluster; cluster/chart.test.ts runs it" },
  { command: "kubectl ", reason: "needs a cluster; what it names is compared with the manifests here" },
  { command: "npx piko ", reason: "needs the port-forward before it; tests/docs runs it in the quickstart" },
  { command: "curl ", reason: "needs the cluster or the port-forward before it" },
];

const commands = [GUIDE, CHART]
  .flatMap(fencesOf)
  .filter((fence) => kindOf(fence) === "commands")
  .flatMap(commandsOf);

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly ports?: readonly { readonly port: number }[] };
}

const manifestsOf = (yaml: string): readonly Manifest[] =>
  parseAllDocuments(yaml)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);

const imagesOf = (yaml: string): readonly string[] =>
  [...yaml.matchAll(/^\s+(?:- )?image: "?([^"\n]+)/gm)].map(([, image = ""]) => image);

/** Runs a shell command in the top folder of the repository. */
async function shell(command: string): Promise<string> {
  const { code, stdout, stderr }: ToolResult = await run("sh", ["-c", command], { cwd: ROOT });
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr}`);
  return stdout;
}

it("the documents about Kubernetes show no other commands than these", () => {
  const run_ = (command: string): boolean =>
    /^(?:helm install|kubectl kustomize|sed) /.test(command) ||
    NOT_RUN.some((each) => command.startsWith(each.command));
  expect(commands.filter((command) => !run_(command))).toEqual([]);
  for (const { command } of NOT_RUN)
    expect(
      commands.some((each) => each.startsWith(command)),
      command,
    ).toBe(true);
});

const noKubectl = findTool("kubectl") === undefined;
if (noKubectl) process.stderr.write("skipped: the guide's manifests need kubectl, which is not installed\n");

describe.skipIf(noKubectl)("the guide's manifests", () => {
  const made = async (beginning: string): Promise<string> => {
    const found = commands.filter((command) => command.startsWith(beginning));
    expect(found).toHaveLength(1);
    // The part after the last pipe applies it to the cluster.
    return await shell((found[0] ?? "").replace(/ \| kubectl -n piko apply -f -$/, ""));
  };

  it("use the reader's image everywhere, for the agent too", async () => {
    for (const yaml of [await made("kubectl kustomize "), await made("sed ")]) {
      expect(imagesOf(yaml)).toEqual([IMAGE]);
    }
  });

  it("contain what the guide's other commands name", async () => {
    const manifests = manifestsOf(await made("kubectl kustomize "));
    const replicas = ["piko-0", "piko-1", "piko-2"];
    const there = new Set([
      ...manifests.map(({ kind, metadata }) => `${kind.toLowerCase()}/${metadata.name}`),
      ...replicas.map((name) => `pod/${name}`),
    ]);
    const named = commands.flatMap((command) =>
      [...command.matchAll(/\b(?:statefulset|service|pod)\/[\w-]+/g)].flat(),
    );
    expect(named.length).toBeGreaterThan(4);
    for (const name of named) expect(there).toContain(name);
    for (const command of commands) {
      const [, name = "", ports = ""] = /port-forward service\/(\S+) ([\d ]+)/.exec(command) ?? [];
      const service = manifests.find(({ kind, metadata }) => kind === "Service" && metadata.name === name);
      for (const port of ports.split(" ").filter((each) => each !== "")) {
        expect(service?.spec?.ports?.map((each) => String(each.port))).toContain(port);
      }
      const [, pod] = /(?:exec|logs|describe pod|delete pod) (piko-\d)/.exec(command) ?? [];
      if (pod !== undefined) expect(replicas).toContain(pod);
    }
  });
});

describe.runIf(haveGoTools())("Helm accepts", () => {
  const stage = perFile();

  it.each(commands.filter((command) => command.startsWith("helm install ")))("%s", async (command) => {
    const template = command
      .replace("helm install", `${toolPath("helm")} template ${KUBE_VERSION}`)
      .replace("--create-namespace", "")
      .replace("--wait", "");
    const images = new Set(imagesOf(await shell(template)));
    expect([...images]).toEqual([IMAGE]);
  });

  const values = fencesOf(CHART).filter((fence) => kindOf(fence) === "configuration");

  it.each(values.map(({ line, text }) => [line, text] as const))(
    "the chart README's values of line %i",
    async (_, text) => {
      const file = join(await stage.directory(), "values.yaml");
      writeFileSync(file, text);
      const yaml = await shell(
        `${toolPath("helm")} template piko deploy/helm/piko ${KUBE_VERSION} --values ${file}`,
      );
      expect(manifestsOf(yaml).map(({ kind }) => kind)).toContain("StatefulSet");
    },
  );
});
