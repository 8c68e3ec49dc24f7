// `npm run bench -- --tracing`: what traces cost a request, server and agent together, in user time and in all CPU time: with 1 % and with
// all of the requests sampled, each against none. With --against, what they cost where they are off: the other build.
// @ts-check

import { once } from "node:events";
import { createServer } from "node:http";
import { startBackend } from "./backend.mjs";
import { readProcessCpuUs, readProcessUserUs } from "./cpu.mjs";
import { measureCosts } from "./fresh-starts.mjs";
import { startAgent, startServer } from "./subjects/piko.mjs";

const METERS = ["user time", "CPU time"];
/** Maximum ratios of a request's user time: off, and with 1 % sampled. */
const MAX_OFF = 1.03;
const MAX_SAMPLED = 1.05;
/**
 * Warm-ups have all requests recorded: with one of a hundred, V8 compiles that code only after minutes, and until then such a
 * request costs several times as much.
 */
const RECORDED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureTracing({ bench, options }, say) {
  const { backendPort } = await startBackend(bench);
  const collector = createServer((request, response) => request.resume().on("end", () => response.end("{}")));
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  const address = collector.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const url = `http://127.0.0.1:${address.port}`;

  /** @param {readonly string[]} flags @param {string} [pikoFile] */
  const starter = (flags, pikoFile) => async () => {
    const how = { ...options, pikoFile: pikoFile ?? options.pikoFile };
    const trusting = flags.length === 0 ? [] : ["--tracing.trust-clients"];
    const server = await startServer({ bench, options: how }, [], {}, [...flags, ...trusting]);
    const agent = await startAgent({ bench, options: how }, server, backendPort, { flags });
    return {
      proxy: server.proxy,
      usedUs: () =>
        [readProcessUserUs, readProcessCpuUs].map((read) => read(server.program.pid) + read(agent.pid)),
      stop: async () => {
        await agent.stop();
        await server.program.stop();
      },
    };
  };

  const off = starter([]);
  /** @type {import("./fresh-starts.mjs").Cost[]} */
  const costs = [
    {
      name: "with 1 % sampled",
      meters: METERS,
      without: off,
      withFeature: starter(["--tracing.url", url, "--tracing.sample", "0.01"]),
      max: MAX_SAMPLED,
      warmupTraceParent: RECORDED,
    },
    {
      name: "with all sampled",
      meters: METERS,
      without: off,
      withFeature: starter(["--tracing.url", url]),
      warmupTraceParent: RECORDED,
    },
  ];
  const { againstFile } = options;
  if (againstFile !== undefined) {
    costs.unshift({
      name: "with traces off, against the other build",
      meters: METERS,
      without: starter([], againstFile),
      withFeature: off,
      max: MAX_OFF,
    });
  }
  const result = await measureCosts({ bench, options }, costs, say);
  collector.closeAllConnections();
  collector.close();
  return result;
}
