// Manifests without a cluster: renders charts with Helm, and validates the result against Kubernetes' own schemas.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { run } from "../../harness/tools.js";
import { toolPath } from "./go-tools.js";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** Helm built from its module doesn't know a Kubernetes version by default. */
export const KUBE_VERSION = ["--kube-version", "1.34.0"];
/** Minor versions that the validator has schemas for; the tests on a real cluster use later ones. */
export const KUBE_VERSIONS = ["1.28", "1.29", "1.30"] as const;
/** Kinds defined by an operator or a gateway; there are no schemas for them here. */
const FOREIGN_KINDS = ["HTTPRoute", "ServiceMonitor", "PodMonitor", "PrometheusRule"];

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // The fields depend on the kind; tests pick those that they need.
  readonly spec: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}

export function documents(yaml: string): readonly Manifest[] {
  return parseAllDocuments(yaml)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

export function find(yaml: string, kind: string, name: string): Manifest | undefined {
  return documents(yaml).find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
}

/** A chart by its folder, and the release name that it is rendered with. */
export class Chart {
  readonly path: string;
  readonly #release: string;

  constructor(path: string, release: string) {
    this.path = path;
    this.#release = release;
  }

  template(...args: readonly string[]): ReturnType<typeof run> {
    return run(toolPath("helm"), [
      ...["template", this.#release, this.path, "--namespace", "piko", ...KUBE_VERSION],
      ...args,
    ]);
  }

  async render(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.template(...args);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }

  lint(...args: readonly string[]): ReturnType<typeof run> {
    return run(toolPath("helm"), ["lint", "--strict", this.path, ...KUBE_VERSION, ...args]);
  }
}

/** Validates manifests against the schemas of a minor version of Kubernetes; returns the errors, empty if there are none. */
export async function problems(
  yaml: string,
  folder: string,
  version: string = KUBE_VERSIONS[2],
): Promise<string> {
  const known = documents(yaml).filter(({ kind }) => !FOREIGN_KINDS.includes(kind));
  const file = join(folder, "manifests.yaml");
  writeFileSync(file, known.map((manifest) => JSON.stringify(manifest)).join("\n---\n"));
  const { code, stdout, stderr } = await run(toolPath("kubectl-validate"), [file, "--version", version]);
  return code === 0 ? "" : stdout + stderr;
}
