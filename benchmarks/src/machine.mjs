// Describes where a run took place: the lines at the top of the report.
// @ts-check

import { execFileSync } from "node:child_process";
import { arch, availableParallelism, cpus, loadavg, release, type } from "node:os";
import { findProgram } from "./programs.mjs";

/**
 * @param {import("./options.mjs").Options} options
 * @param {boolean} pinned
 * @returns {string[]}
 */
export function describeMachine(options, pinned) {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const [load = 0] = loadavg();
  return [
    `${new Date().toISOString().slice(0, 16)}Z, ${type()} ${release()} ${arch()}, ${availableParallelism()} cores, ${model}`,
    [
      `Node.js ${firstLine(options.nodeFile, ["--version"])}`,
      firstLine("nginx", ["-v"]).replace("nginx version: ", ""),
      firstLine("haproxy", ["-v"]).replace("HAProxy version ", "haproxy/").replace(/ .*/, ""),
      firstLine("wrk", ["-v"]).replace(/ \[.*/, ""),
    ]
      .filter((line) => line !== "")
      .join(", "),
    `${options.rounds} interleaved rounds, ${options.seconds} s a case, medians; load average at the start ${load.toFixed(2)}`,
    pinned
      ? "load and backend on core 0; all processes of the measured program on core 1"
      : "**not pinned to cores** (taskset is missing, or there is one core): CPU per request is less exact",
    `piko's access logs are ${options.accessLog ? "on" : "off"}, metrics on`,
  ];
}

/**
 * First line of a program's version output, on stdout or stderr.
 * @param {string} name
 * @param {string[]} args
 */
function firstLine(name, args) {
  const program = name.includes("/") ? name : findProgram(name);
  if (program === undefined) return "";
  // Some programs print to stderr, and some (wrk) exit with 1 anyway.
  const text = execFileSync("sh", ["-c", '"$0" "$@" 2>&1 || true', program, ...args], { encoding: "utf8" });
  return text.split("\n")[0] ?? "";
}
