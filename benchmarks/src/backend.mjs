// The service behind every subject: nginx with static responses, on the load generator's core. All subjects of a run use the
// same process.
// @ts-check

import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CASES } from "./cases.mjs";
import { checkAnswer } from "./load.mjs";
import { nginxPreamble } from "./nginx.mjs";
import { requireProgram } from "./programs.mjs";
import { freePorts, LOAD_CORE } from "./workbench.mjs";

const ECHO_SERVICE = fileURLToPath(new URL("./echo-service.mjs", import.meta.url));
/** Cases whose response is a file, one for each path. */
const FILE_CASES = CASES.filter(({ name }) => name === "medium" || name === "large" || name === "bulk");

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @returns {Promise<{ backendPort: number, echoPort: number, grpcPort: number }>} its port, and those of the services that echo TCP
 *   and gRPC messages
 */
export async function startBackend(bench) {
  const [httpPort, echoPort, grpcPort] = await startEchoService(bench);
  const [port = 0] = await freePorts(1);
  const { directory } = bench;
  const config = join(directory, "backend.conf");
  const locations = FILE_CASES.map((each) => {
    const file = join(directory, each.name);
    // A hole in a file reads as zeros, so 256 MiB use no disk space.
    writeFileSync(file, "");
    truncateSync(file, each.bodyBytes);
    return `location = ${each.path} { default_type application/octet-stream; alias ${file}; }`;
  });
  writeFileSync(
    config,
    `${nginxPreamble(directory, "backend")}
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=100 inactive=1h;
  server {
    listen 127.0.0.1:${port};
    location = /100 { default_type text/plain; return 200 "${"x".repeat(100)}"; }
    ${locations.join("\n    ")}
    location = /upload {
      proxy_pass http://127.0.0.1:${httpPort};
      proxy_http_version 1.1;
      proxy_request_buffering off;
      client_max_body_size 0;
    }
    location = /websocket {
      proxy_pass http://127.0.0.1:${httpPort};
      proxy_http_version 1.1;
      proxy_set_header Connection upgrade;
      proxy_set_header Upgrade $http_upgrade;
    }
  }
}
`,
  );
  const program = bench.start({
    name: "backend",
    command: requireProgram("nginx"),
    args: ["-p", directory, "-c", config, "-e", "stderr"],
    core: LOAD_CORE,
  });
  bench.servicePids.push(program.pid);
  const origin = `http://127.0.0.1:${port}`;
  const first = /** @type {import("./cases.mjs").Case} */ (CASES[0]);
  await bench.waitFor("backend", [program], async () =>
    (await checkAnswer(origin, first)) === undefined ? true : undefined,
  );
  return { backendPort: port, echoPort, grpcPort };
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @returns {Promise<[http: number, tcp: number, grpc: number]>} its ports
 */
async function startEchoService(bench) {
  const program = bench.start({
    name: "echo-service",
    command: process.execPath,
    args: [ECHO_SERVICE],
    core: LOAD_CORE,
  });
  bench.servicePids.push(program.pid);
  return bench.waitFor("echo service", [program], () => {
    const text = readFileSync(program.stdoutFile, "utf8");
    const [http = 0, tcp = 0, grpc = 0] = text.split(" ").map(Number);
    return text.endsWith("\n") ? [http, tcp, grpc] : undefined;
  });
}
