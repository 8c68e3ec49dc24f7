// haproxy as a plain reverse proxy without a tunnel. Optional: skipped if it isn't installed.
// @ts-check

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram, requireProgram } from "../programs.mjs";
import { freePorts, SUBJECT_CORE } from "../workbench.mjs";

/** @type {import("./subject.mjs").Subject} */
export const haproxy = {
  name: "haproxy",
  title: "haproxy, plain proxy",
  compiles: false,
  takes: (kind) => kind !== "tcp",
  findObstacle,
  start: ({ bench, backendPort }) => startPlain(bench, backendPort, "http"),
};

/** haproxy in TCP mode. @type {import("./subject.mjs").Subject} */
export const haproxyTcp = {
  name: "haproxy-tcp",
  title: "haproxy, TCP mode",
  compiles: false,
  takes: (kind) => kind === "tcp",
  findObstacle,
  start: ({ bench, echoPort = 0 }) => startPlain(bench, echoPort, "tcp"),
};

function findObstacle() {
  return findProgram("haproxy") === undefined ? "haproxy is not installed" : undefined;
}

/**
 * @param {import("../workbench.mjs").Workbench} bench
 * @param {number} servicePort
 * @param {"http" | "tcp"} mode
 */
function startPlain(bench, servicePort, mode) {
  const http = "option httplog\n  http-reuse always\n  timeout http-keep-alive 60s\n  timeout tunnel 60s";
  return startHaproxy(bench, {
    defaults: `  mode ${mode}\n  ${mode === "http" ? http : "option tcplog"}`,
    sections: (port) => `frontend front
  bind 127.0.0.1:${port}
  default_backend service
backend service
  server service 127.0.0.1:${servicePort} pool-max-conn 512`,
  });
}

/**
 * Starts haproxy with one thread.
 * @param {import("../workbench.mjs").Workbench} bench
 * @param {{ global?: string, defaults: string, sections: (port: number) => string }} config additional lines for the sections `global`
 *   and `defaults`, and the other sections
 * @returns {Promise<import("./subject.mjs").RunningSubject>}
 */
export async function startHaproxy(bench, { global = "", defaults, sections }) {
  const [port = 0] = await freePorts(1);
  const config = join(bench.directory, `haproxy-${port}.cfg`);
  writeFileSync(
    config,
    `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0 info
${global}
defaults
  log global
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${defaults}
${sections(port)}
`,
  );
  const program = bench.start({
    name: "haproxy",
    command: requireProgram("haproxy"),
    args: ["-db", "-f", config],
    core: SUBJECT_CORE,
  });
  return { origin: `http://127.0.0.1:${port}`, parts: [{ role: "proxy", program }] };
}
