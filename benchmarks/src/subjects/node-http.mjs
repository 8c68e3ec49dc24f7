// A reverse proxy with node:http alone, without a tunnel or a log: what most Node.js programs would do.
// @ts-check

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SUBJECT_CORE } from "../workbench.mjs";

const PROGRAM = fileURLToPath(new URL("./node-http-proxy.mjs", import.meta.url));

/** @type {import("./subject.mjs").Subject} */
export const nodeHttp = {
  name: "node-http",
  title: "node:http proxy",
  compiles: true,
  takes: (kind) => kind !== "tcp",
  findObstacle: () => undefined,
  async start({ bench, backendPort, options }) {
    const program = bench.start({
      name: "node-http",
      command: options.nodeFile,
      args: [PROGRAM, String(backendPort)],
      core: SUBJECT_CORE,
    });
    const port = await bench.waitFor("node-http", [program], () => {
      const text = readFileSync(program.stdoutFile, "utf8");
      return text.endsWith("\n") ? Number(text) : undefined;
    });
    return { origin: `http://127.0.0.1:${port}`, parts: [{ role: "proxy", program }] };
  },
};
