// A reverse proxy with node:http as its server and undici as its client, without a tunnel or a log: what a Node.js program
// does if speed matters.
// @ts-check

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SUBJECT_CORE } from "../workbench.mjs";

const PROGRAM = fileURLToPath(new URL("./undici-proxy.mjs", import.meta.url));

/** @type {import("./subject.mjs").Subject} */
export const undici = {
  name: "undici",
  title: "undici proxy",
  compiles: true,
  takes: (kind) => kind === "load" || kind === "bulk" || kind === "upload",
  findObstacle: () => undefined,
  async start({ bench, backendPort, options }) {
    const program = bench.start({
      name: "undici",
      command: options.nodeFile,
      args: [PROGRAM, String(backendPort)],
      core: SUBJECT_CORE,
    });
    const port = await bench.waitFor("undici", [program], () => {
      const text = readFileSync(program.stdoutFile, "utf8");
      return text.endsWith("\n") ? Number(text) : undefined;
    });
    return { origin: `http://127.0.0.1:${port}`, parts: [{ role: "proxy", program }] };
  },
};
