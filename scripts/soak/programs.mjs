// The real programs of a soak: server, agents, service. Their logs are written as usual and discarded.

import { fork, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PIKO = fileURLToPath(new URL("../../packages/piko/bin/piko.js", import.meta.url));
const SERVICE = fileURLToPath(new URL("service.mjs", import.meta.url));
/** Long, because a soak may share its machine with others. */
const PATIENCE_MS = 120_000;

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** @param {import("node:child_process").ChildProcess} child */
function track(child) {
  running.add(child);
  child.once("exit", () => running.delete(child));
}

/** @typedef {{ pid: number | undefined, record: (message: string) => Record<string, string>, end: (signal?: NodeJS.Signals) => Promise<void> }} Running */

/**
 * Starts `piko` and waits for the log record with this message. `record` returns that record and earlier ones; `onLine` gets
 * later ones.
 * @param {string[]} args
 * @param {string} message
 * @param {(line: string) => void} [onLine]
 * @returns {Promise<Running>}
 */
export async function startPiko(args, message, onLine) {
  const child = spawn(process.execPath, [PIKO, ...args, "--log.format", "json"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  track(child);
  const lines = createInterface({ input: child.stderr });
  /** @type {string[]} */
  const seen = [];
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no "${message}": ${seen.join("\n")}`)), PATIENCE_MS);
    lines.on("line", (line) => {
      seen.push(line);
      if (!line.includes(`"msg":"${message}"`)) return;
      clearTimeout(timer);
      resolve(undefined);
    });
    child.once("close", () => reject(new Error(`ended: ${seen.join("\n")}`)));
  });
  if (onLine === undefined) {
    lines.close();
    child.stderr.removeAllListeners("data");
    child.stderr.resume();
  } else lines.removeAllListeners("line").on("line", onLine);
  const record = (/** @type {string} */ wanted) =>
    JSON.parse(seen.find((line) => line.includes(`"msg":"${wanted}"`)) ?? "{}");
  return { pid: child.pid, record, end: (signal = "SIGTERM") => endChild(child, signal) };
}

/** @returns {Promise<{ http: number, tcp: number, end: () => Promise<void> }>} */
export async function startService() {
  const child = fork(SERVICE, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  track(child);
  const ports = await new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("close", () => reject(new Error("the service ended")));
  });
  return { http: Number(ports.http), tcp: Number(ports.tcp), end: () => endChild(child, "SIGTERM") };
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
async function endChild(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  await closed;
  clearTimeout(timer);
}
