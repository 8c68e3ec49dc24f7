// Before all tests: builds the Go tools that check the manifests, and, where PIKO_TEST_KUBE names the `kube` command,
// starts a cluster with it, which ends after the tests. Anywhere else the variables in the README name the cluster.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { buildGoTools } from "./go-tools.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const IMAGE_NAME = "localhost/piko:test";
const BASE_NAME = "localhost/node:base";
/** Machines besides the first one. */
const WORKERS = [2, 3];

/** Called by vitest before all tests. */
export async function setup(): Promise<void> {
  await buildGoTools();
  const kube = process.env["PIKO_TEST_KUBE"] ?? "";
  if (kube === "") return;
  const startMs = Date.now();
  const step = (what: string, ...args: readonly string[]): void => {
    process.stderr.write(`${Math.round((Date.now() - startMs) / 1_000)} s: ${what}\n`);
    execFileSync(kube, args, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  };
  try {
    step("preparing the cluster's programs; the first time on a machine this takes ten minutes", "setup");
    step("building the image", "base", BASE_NAME);
    step("starting the cluster", "up");
    step(
      "building the image",
      "build",
      IMAGE_NAME,
      "deploy/docker/Dockerfile",
      ".",
      "--build-arg",
      `BASE=${BASE_NAME}`,
    );
    for (const worker of WORKERS) step(`adding machine ${worker}`, "worker", String(worker));
  } catch (error) {
    execFileSync(kube, ["down"]);
    throw error;
  }
  process.env["PIKO_CLUSTER_RUN"] = `${kube} run`;
  process.env["PIKO_IMAGE"] = IMAGE_NAME;
  process.env["PIKO_KILL_NODE"] = `${kube} kill-worker \${NODE#node}`;
  process.env["PIKO_NODE_SHELL"] = `${kube} run`;
}

/** Called by vitest after all tests. */
export function teardown(): void {
  const kube = process.env["PIKO_TEST_KUBE"] ?? "";
  if (kube !== "") execFileSync(kube, ["down"]);
}
