// nginx as a plain reverse proxy without a tunnel: the yardstick for most targets.
// @ts-check

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { nginxPreamble } from "../nginx.mjs";
import { findProgram, requireProgram } from "../programs.mjs";
import { freePorts, SUBJECT_CORE } from "../workbench.mjs";

/** @type {import("./subject.mjs").Subject} */
export const nginx = {
  name: "nginx",
  title: "nginx, plain proxy",
  compiles: false,
  takes: (kind) => kind !== "tcp",
  findObstacle: () => (findProgram("nginx") === undefined ? "nginx is not installed" : undefined),
  start: ({ bench, backendPort }) =>
    startNginx(
      bench,
      "proxy",
      (port) => `  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
  upstream backend {
    server 127.0.0.1:${backendPort};
    keepalive 512;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $host;
      proxy_buffers 16 16k;
      proxy_max_temp_file_size 0;
      proxy_request_buffering off;
      client_max_body_size 0;
    }
  }`,
    ),
};

/**
 * Starts nginx at its best: the log is batched, as piko's is, and bodies never go to disk.
 * @param {import("../workbench.mjs").Workbench} bench
 * @param {string} name keeps the files of two configurations apart
 * @param {(port: number) => string} http contents of the `http` block
 * @returns {Promise<import("./subject.mjs").RunningSubject>}
 */
export async function startNginx(bench, name, http) {
  const [port = 0] = await freePorts(1);
  const instance = `${name}-${port}`;
  const config = join(bench.directory, `${instance}.conf`);
  writeFileSync(
    config,
    `${nginxPreamble(bench.directory, instance)}
  access_log ${join(bench.directory, `${instance}.log`)} combined buffer=64k flush=1s;
${http(port)}
}
`,
  );
  const program = bench.start({
    name: "nginx",
    command: requireProgram("nginx"),
    args: ["-p", bench.directory, "-c", config, "-e", "stderr"],
    core: SUBJECT_CORE,
  });
  return { origin: `http://127.0.0.1:${port}`, parts: [{ role: "proxy", program }] };
}
