// CPU shares and quotas, as Kubernetes sets them for containers: by control groups of version 1 or 2, as root.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Shares of a container that requests no CPU, 100m or 250m. */
export const SHARES = { none: 2, agent: 102, node: 256 };
/** Shares of a group that gets all the CPU time that it can use. */
const FAVORED_SHARES = 16_384;
const PERIOD_US = 100_000;
const REMOVE_TRIES = 100;
const REMOVE_WAIT_MS = 20;
/** Shares of all groups here together, so that other programs of this machine hardly disturb the measurement. */
const TOP_SHARES = FAVORED_SHARES;

/** @returns {{ version: 1 | 2, root: string } | string} or why there is none */
function findController() {
  if (process.getuid?.() !== 0) return "only root can create control groups";
  const v2 = "/sys/fs/cgroup/cgroup.controllers";
  if (existsSync(v2)) {
    if (!readFileSync(v2, "utf8").split(/\s/).includes("cpu"))
      return "the control groups have no cpu controller";
    return { version: 2, root: "/sys/fs/cgroup" };
  }
  if (existsSync("/sys/fs/cgroup/cpu/cpu.shares")) return { version: 1, root: "/sys/fs/cgroup/cpu" };
  return "no control groups with a cpu controller at /sys/fs/cgroup";
}

/** A control group, which can contain others. */
export class CpuGroup {
  #path;
  #version;
  /** @type {CpuGroup[]} */
  #inner = [];

  /**
   * @param {string} path
   * @param {1 | 2} version
   */
  constructor(path, version) {
    mkdirSync(path);
    this.#path = path;
    this.#version = version;
  }

  /** A group at the top; or why there can't be one. @returns {CpuGroup | string} */
  static create() {
    const found = findController();
    if (typeof found === "string") return found;
    try {
      if (found.version === 2) writeFileSync(`${found.root}/cgroup.subtree_control`, "+cpu");
      const group = new CpuGroup(`${found.root}/piko-freeze-${process.pid}`, found.version);
      process.once("exit", () => group.remove());
      group.#setShares(TOP_SHARES);
      return group;
    } catch (error) {
      return `control groups can't be created: ${error instanceof Error ? error.message : error}`;
    }
  }

  /**
   * @param {string} name
   * @param {{ shares?: number, quota?: number }} limits `quota`: a part of one core
   */
  add(name, { shares, quota }) {
    if (this.#version === 2) writeFileSync(`${this.#path}/cgroup.subtree_control`, "+cpu");
    const inner = new CpuGroup(`${this.#path}/${name}`, this.#version);
    this.#inner.push(inner);
    if (shares !== undefined) inner.#setShares(shares);
    if (quota !== undefined) inner.#setQuota(quota);
    return inner;
  }

  /**
   * Moves this process, and programs that it then starts without a prefix, to a group that is never short of CPU time. For the
   * group at the top.
   * @returns {() => void} moves it back, after which the group can be removed
   */
  favorThisProcess() {
    const own = readFileSync("/proc/self/cgroup", "utf8");
    const [, path = "/"] =
      (this.#version === 2 ? /^0::(.*)$/m : /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(.*)$/m).exec(own) ?? [];
    const favored = this.add("favored", { shares: FAVORED_SHARES }).#path;
    const move = (/** @type {string} */ to) => writeFileSync(`${to}/cgroup.procs`, `${process.pid}`);
    move(favored);
    return () => move(`${dirname(this.#path)}${path}`);
  }

  /** Arguments to put before a command so that it runs in the group. */
  get prefix() {
    return ["sh", "-c", `echo $$ > ${this.#path}/cgroup.procs && exec "$@"`, "sh"];
  }

  /** How many periods there were so far, and in how many the quota was used up. */
  get throttled() {
    const stat = readFileSync(`${this.#path}/cpu.stat`, "utf8");
    const read = (/** @type {string} */ name) =>
      Number(new RegExp(`^${name} (\\d+)`, "m").exec(stat)?.[1] ?? 0);
    return { periods: read("nr_periods"), throttled: read("nr_throttled") };
  }

  /** Removes the group; waits briefly for its processes to end. Idempotent. */
  remove() {
    for (const inner of this.#inner) inner.remove();
    for (let tries = 1; existsSync(this.#path); tries++) {
      try {
        rmdirSync(this.#path);
      } catch (error) {
        if (tries === REMOVE_TRIES) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVE_WAIT_MS);
      }
    }
  }

  /** @param {number} shares */
  #setShares(shares) {
    // The same conversion as in the kubelet.
    if (this.#version === 2) {
      writeFileSync(`${this.#path}/cpu.weight`, `${Math.floor(1 + ((shares - 2) * 9_999) / 262_142)}`);
    } else writeFileSync(`${this.#path}/cpu.shares`, `${shares}`);
  }

  /** @param {number} quota */
  #setQuota(quota) {
    const us = Math.round(quota * PERIOD_US);
    if (this.#version === 2) writeFileSync(`${this.#path}/cpu.max`, `${us} ${PERIOD_US}`);
    else {
      writeFileSync(`${this.#path}/cpu.cfs_period_us`, `${PERIOD_US}`);
      writeFileSync(`${this.#path}/cpu.cfs_quota_us`, `${us}`);
    }
  }
}
