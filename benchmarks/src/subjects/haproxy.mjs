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
  findObstacle: () => (findProgram("haproxy") === undefined ? "haproxy is not installed" : undefined),
  async start({ bench, backendPort }) {
    const [port = 0] = await freePorts(1);
    const config = join(bench.directory, `haproxy-${port}.cfg`);
    writeFileSync(
      config,
      `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  http-reuse always
frontend front
  bind 127.0.0.1:${port}
  default_backend service
backend service
  server service 127.0.0.1:${backendPort} pool-max-conn 512
`,
    );
    const program = bench.start({
      name: "haproxy",
      command: requireProgram("haproxy"),
      args: ["-db", "-f", config],
      core: SUBJECT_CORE,
    });
    return { origin: `http://127.0.0.1:${port}`, parts: [{ role: "proxy", program }] };
  },
};
