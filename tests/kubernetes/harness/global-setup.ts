// Runs before all tests: builds the Go tools that check the manifests and, if PIKO_TEST_KUBE names a `kube` command, starts
// a cluster with it, which is stopped after the tests. Otherwise the variables in the README name the cluster.

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildGoTools } from "./go-tools.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const KUBE = process.env["PIKO_TEST_KUBE"] ?? "";
const IMAGE_NAME = "localhost/piko:test";
const BARE_NAME = "localhost/node:bare";
const BASE_NAME = "localhost/node:base";
/**
 * A library that the bundler's native code needs. The published images of Node.js have it, the base image of `kube` doesn't.
 */
const LIBRT = "librt.so.1";
const LIBRARIES = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64"];
/** Machines besides the first one. */
const WORKERS = [2, 3];
/** Maximum number of attempts to start a machine. */
const MAX_STARTS = 3;

let startedByUs = false;

/** Called by Vitest before all tests. */
export async function setup(): Promise<void> {
  await buildGoTools();
  if (KUBE === "") return;
  if (spawnSync(KUBE, ["run", "true"], { stdio: "ignore" }).status === 0) {
    // The cluster may be in use by someone else's tests.
    throw new Error(`there is a cluster already: end it with \`${KUBE} down\`, if nobody needs it`);
  }
  const startMs = Date.now();
  const step = (what: string, ...args: readonly string[]): void => {
    process.stderr.write(`${Math.round((Date.now() - startMs) / 1_000)} s: ${what}\n`);
    kube(...args);
  };
  step("preparing the cluster's programs; the first time on a machine this takes ten minutes", "setup");
  step("building the base image", "base", BARE_NAME);
  completeBase(step);
  startedByUs = true;
  // Vitest calls no teardown if it is interrupted.
  process.once("exit", teardown);
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
  for (const worker of WORKERS) addMachine(worker, step);
  process.env["PIKO_CLUSTER_RUN"] = `${KUBE} run`;
  process.env["PIKO_IMAGE"] = IMAGE_NAME;
  process.env["PIKO_KILL_NODE"] = `${KUBE} kill-worker \${NODE#node}`;
  process.env["PIKO_NODE_SHELL"] = `${KUBE} run`;
}

/** Adds the library to the base image, which makes it like the published ones. */
function completeBase(step: (what: string, ...args: readonly string[]) => void): void {
  const from = LIBRARIES.find((folder) => existsSync(join(folder, LIBRT)));
  if (from === undefined) throw new Error(`no ${LIBRT} in ${LIBRARIES.join(", ")}`);
  const context = mkdtempSync(join(tmpdir(), "piko-base-"));
  try {
    copyFileSync(join(from, LIBRT), join(context, LIBRT));
    writeFileSync(join(context, "Dockerfile"), `FROM ${BARE_NAME}\nCOPY ${LIBRT} ${from}/\n`);
    step("completing it", "build", BASE_NAME, join(context, "Dockerfile"), context);
  } finally {
    rmSync(context, { recursive: true });
  }
}

/**
 * Adds a machine. Its kubelet exits if it starts faster than the containerd next to it, and `kube` has nothing that restarts
 * it, as systemd would. In that case this starts the machine again.
 */
function addMachine(number: number, step: (what: string, ...args: readonly string[]) => void): void {
  for (let start = 1; ; start++) {
    try {
      return step(`adding machine ${number}`, "worker", String(number));
    } catch (error) {
      if (start === MAX_STARTS) throw error;
      step(`ending machine ${number}, which didn't come up`, "kill-worker", String(number));
    }
  }
}

/** Called by Vitest after all tests, and at the latest when the process exits. */
export function teardown(): void {
  if (!startedByUs) return;
  startedByUs = false;
  kube("down");
}

/** Runs a command of `kube`, which prints its own errors. */
function kube(...args: readonly string[]): void {
  const { error, status, signal } = spawnSync(KUBE, args, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  const how = error?.message ?? `ended with ${signal ?? `exit code ${status}, see above`}`;
  throw new Error(`no cluster to test on: \`${KUBE} ${args.join(" ")}\` ${how}`);
}
