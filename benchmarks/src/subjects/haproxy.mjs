// haproxy as a plain reverse proxy, no tunnel. Optional: left out where it isn't installed.
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
  start: ({ bench, backendPort }) => startHaproxy(bench, backendPort, "http"),
};

/** The same in TCP mode. @type {import("./subject.mjs").Subject} */
export const haproxyTcp = {
  name: "haproxy-tcp",
  title: "haproxy, TCP mode",
  compiles: false,
  takes: (kind) => kind === "tcp",
  findObstacle,
  start: ({ bench, echoPort = 0 }) => startHaproxy(bench, echoPort, "tcp"),
};

function findObstacle() {
  return findProgram("haproxy") === undefined ? "haproxy is not installed" : undefined;
}

/**
 * @param {import("../workbench.mjs").Workbench} bench
 * @param {number} servicePort
 * @param {"http" | "tcp"} mode
 * @returns {Promise<import("./subject.mjs").RunningSubject>}
 */
async function startHaproxy(bench, servicePort, mode) {
  const [port = 0] = await freePorts(1);
  const config = join(bench.directory, `haproxy-${port}.cfg`);
  const http = "option httplog\n  http-reuse always\n  timeout http-keep-alive 60s\n  timeout tunnel 60s";
  writeFileSync(
    config,
    `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0 info
defaults
  mode ${mode}
  log global
  ${mode === "http" ? http : "option tcplog"}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:${port}
  default_backend service
backend service
  server service 127.0.0.1:${servicePort} pool-max-conn 512
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
