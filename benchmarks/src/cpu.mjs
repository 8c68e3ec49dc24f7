// CPU time and memory of processes, read from /proc. Linux only.
// @ts-check

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Microseconds in one tick of /proc/PID/stat. */
const TICK_US = 1e6 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/**
 * User and system time of a process so far, all threads, in microseconds. The resolution is a tick (10 ms).
 * @param {number} pid
 */
export function readProcessCpuUs(pid) {
  const fields = readStat(pid);
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/**
 * User time of a process so far, all threads, in microseconds.
 * @param {number} pid
 */
export function readProcessUserUs(pid) {
  return Number(readStat(pid)[11]) * TICK_US;
}

/**
 * Like `readProcessCpuUs`, for all children of a process that have ended.
 * @param {number} pid
 */
export function readWaitedCpuUs(pid) {
  const fields = readStat(pid);
  return (Number(fields[13]) + Number(fields[14])) * TICK_US;
}

/** @param {number} pid */
function readStat(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The command in parentheses may contain spaces and parentheses, so the fields are counted from the last one.
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/**
 * Busy time of one core so far (user, nice, system, irq, softirq), in microseconds.
 * @param {number} core
 */
export function readCoreBusyUs(core) {
  const line = readFileSync("/proc/stat", "utf8")
    .split("\n")
    .find((each) => each.startsWith(`cpu${core} `));
  if (line === undefined) return 0;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) * TICK_US;
}

/**
 * Resident memory of a process in bytes.
 * @param {number} pid
 */
export function readResidentBytes(pid) {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0) * 1024;
}
