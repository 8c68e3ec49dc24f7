// The service behind every subject: nginx with static answers, on the load generator's core. It is the same
// process for all subjects of a run.
// @ts-check

import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CASES } from "./cases.mjs";
import { checkAnswer } from "./load.mjs";
import { nginxPreamble } from "./nginx.mjs";
import { requireProgram } from "./programs.mjs";
import { freePorts, LOAD_CORE } from "./workbench.mjs";

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @returns {Promise<number>} its port
 */
export async function startBackend(bench) {
  const [port = 0] = await freePorts(1);
  const { directory } = bench;
  const config = join(directory, "backend.conf");
  const locations = CASES.filter((each) => each.path !== "/100").map((each) => {
    const file = join(directory, each.name);
    // A hole in a file reads as zeros, so 256 MiB cost no disk.
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
    ${[...new Set(locations)].join("\n    ")}
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
  bench.backendPid = program.pid;
  const origin = `http://127.0.0.1:${port}`;
  const first = /** @type {import("./cases.mjs").Case} */ (CASES[0]);
  await bench.waitFor("backend", [program], async () =>
    (await checkAnswer(origin, first)) === undefined ? true : undefined,
  );
  return port;
}
