// Before all tests: builds the Go tools that check the manifests, and, where PIKO_TEST_KUBE names the `kube` command,
// starts a cluster with it, which ends after the tests. Anywhere else the variables in the README name the cluster.

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
/** A library that every image of Node.js has, and the one of `kube` has not: the bundler's native code asks for it. */
const LIBRT = "librt.so.1";
const LIBRARIES = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64"];
/** Machines besides the first one. */
const WORKERS = [2, 3];
/** Most times that one of them is started. */
const MOST_STARTS = 3;

let startedByUs = false;

/** Called by vitest before all tests. */
export async function setup(): Promise<void> {
  await buildGoTools();
  if (KUBE === "") return;
  if (spawnSync(KUBE, ["run", "true"], { stdio: "ignore" }).status === 0) {
    // It may be somebody's, with tests in it.
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
  // Vitest calls no teardown when it is interrupted.
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

/** Makes the base image one like those that are published. */
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
 * Adds a machine. Its kubelet ends at once when it is faster than the containerd that is started beside it, and `kube` has
 * nothing that starts it again, as systemd would: then the machine is started again.
 */
function addMachine(number: number, step: (what: string, ...args: readonly string[]) => void): void {
  for (let start = 1; ; start++) {
    try {
      return step(`adding machine ${number}`, "worker", String(number));
    } catch (error) {
      if (start === MOST_STARTS) throw error;
      step(`ending machine ${number}, which didn't come up`, "kill-worker", String(number));
    }
  }
}

/** Called by vitest after all tests, and at the latest when it ends. */
export function teardown(): void {
  if (!startedByUs) return;
  startedByUs = false;
  kube("down");
}

/** Runs one command of `kube`, which says itself what is wrong. */
function kube(...args: readonly string[]): void {
  const { error, status, signal } = spawnSync(KUBE, args, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  const how = error?.message ?? `ended with ${signal ?? `exit code ${status}, see above`}`;
  throw new Error(`no cluster to test on: \`${KUBE} ${args.join(" ")}\` ${how}`);
}
