// Helm, and the validator that contains Kubernetes' schemas: built once from their Go modules, into a cache.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findTool, haveTools, run } from "../../harness/tools.js";

const CACHE = fileURLToPath(new URL("../.cache/bin/", import.meta.url));
const TOOLS = {
  helm: "helm.sh/helm/v3/cmd/helm@v3.22.0",
  "kubectl-validate": "sigs.k8s.io/kubectl-validate@v0.0.4",
} as const;

/** Path of the tool, whether or not it is built yet. */
export function toolPath(name: keyof typeof TOOLS): string {
  return join(CACHE, name);
}

/** Whether the tools are built or can be built; prints a message if not. */
export function haveGoTools(): boolean {
  return Object.keys(TOOLS).every((name) => existsSync(join(CACHE, name))) || haveTools("go");
}

/** Builds the tools that are missing, if there is a Go toolchain. */
export async function buildGoTools(): Promise<void> {
  for (const [name, module] of Object.entries(TOOLS)) {
    if (existsSync(join(CACHE, name)) || findTool("go") === undefined) continue;
    process.stderr.write(`building ${name} from ${module}, once\n`);
    const env = { GOBIN: CACHE, CGO_ENABLED: "0", GOFLAGS: "-buildvcs=false" };
    const built = await run("go", ["install", module], { env, ms: 1_200_000 });
    if (built.code !== 0) throw new Error(`go install ${module}: ${built.stderr}`);
  }
}
