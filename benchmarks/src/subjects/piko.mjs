// Piko: `piko server` and `piko agent http` on one core, with access logs (to files) and metrics on, as by default. Also
// starts a server alone, for idle tunnels, and both with a profiler.
// @ts-check

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SUBJECT_CORE } from "../workbench.mjs";

const DEFAULT_PROGRAM = fileURLToPath(new URL("../../../packages/piko/bin/piko.js", import.meta.url));
const COMPILED = fileURLToPath(new URL("../../../packages/piko/dist/bundle/main.js", import.meta.url));
const ENDPOINT = "bench";
const NO_PORT = "127.0.0.1:0";

/** @type {import("./subject.mjs").Subject} */
export const piko = {
  name: "piko",
  title: "piko, server + agent",
  compiles: true,
  takes: (kind) => kind !== "tcp",
  findObstacle(options) {
    if (options.pikoFile !== undefined) {
      return existsSync(options.pikoFile) ? undefined : `${options.pikoFile} does not exist`;
    }
    return existsSync(COMPILED) ? undefined : "piko is not built (npm run build)";
  },
  start: (context) => startPiko(context, { server: [], agent: [] }),
};

/** Another build of piko, for `--against`. @type {import("./subject.mjs").Subject} */
export const pikoAgainst = {
  name: "piko-against",
  title: "piko, the other build",
  compiles: true,
  takes: (kind) => kind !== "tcp",
  findObstacle: ({ againstFile = "" }) =>
    existsSync(againstFile) ? undefined : `--against: ${againstFile} does not exist`,
  start: ({ options, ...context }) =>
    startPiko(
      { ...context, options: { ...options, pikoFile: options.againstFile } },
      { server: [], agent: [] },
    ),
};

/**
 * Starts a server and an agent, and waits until it has connected.
 * @param {import("./subject.mjs").SubjectContext} context
 * @param {{ server: readonly string[], agent: readonly string[] }} nodeArgs arguments for Node.js itself
 * @returns {Promise<import("./subject.mjs").RunningSubject>}
 */
export async function startPiko(context, nodeArgs) {
  const { backendPort } = context;
  const server = await startServer(context, nodeArgs.server);
  const agent = await startAgent(context, server, backendPort, { nodeArgs: nodeArgs.agent });
  return {
    origin: `http://${server.proxy}`,
    parts: [
      { role: "server", program: server.program },
      { role: "agent", program: agent },
    ],
  };
}

/**
 * Starts a server alone.
 * @param {Pick<import("./subject.mjs").SubjectContext, "bench" | "options">} context
 * @param {readonly string[]} nodeArgs
 * @param {Record<string, string>} [env]
 * @param {readonly string[]} [flags] these override the others
 */
export async function startServer({ bench, options }, nodeArgs, env = {}, flags = []) {
  const program = bench.start({
    ...pikoCommand(options, nodeArgs, [
      "server",
      "--proxy.bind-addr",
      NO_PORT,
      "--upstream.bind-addr",
      NO_PORT,
      "--admin.bind-addr",
      NO_PORT,
      "--cluster.gossip.bind-addr",
      NO_PORT,
      "--log.format",
      "json",
      ...(options.accessLog ? [] : ["--proxy.access-log.disable"]),
      ...flags,
    ]),
    env,
    name: "piko-server",
    core: SUBJECT_CORE,
    // SIGINT skips the wait for load balancers, which would only delay the run.
    stopSignal: "SIGINT",
  });
  const line = await bench.waitFor("piko server", [program], () =>
    findLogLine(program.stderrFile, "server started"),
  );
  return { program, proxy: String(line["proxy"]), upstream: String(line["upstream"]) };
}

/**
 * Starts an agent for the service; resolves when it has connected.
 * @param {Pick<import("./subject.mjs").SubjectContext, "bench" | "options">} context
 * @param {Awaited<ReturnType<typeof startServer>>} server
 * @param {number} backendPort
 * @param {{ nodeArgs?: readonly string[], scheme?: "http" | "https", flags?: readonly string[], endpoint?: string }} [more]
 */
export async function startAgent({ bench, options }, server, backendPort, more = {}) {
  const { endpoint = ENDPOINT, flags = [], nodeArgs = [], scheme = "http" } = more;
  const agent = bench.start({
    ...pikoCommand(options, nodeArgs, [
      "agent",
      "http",
      endpoint,
      `127.0.0.1:${backendPort}`,
      "--connect.url",
      `${scheme}://${server.upstream}`,
      // Like nginx here: with the default of 100, the agent would have to reconnect constantly for 256 clients.
      "--http-client.max-idle-conns",
      "512",
      "--log.format",
      "json",
      ...(options.accessLog ? [] : ["--access-log.disable"]),
      ...flags,
    ]),
    name: "piko-agent",
    core: SUBJECT_CORE,
    stopSignal: "SIGINT",
  });
  await bench.waitFor("piko agent", [agent, server.program], () =>
    findLogLine(agent.stderrFile, "connected"),
  );
  return agent;
}

/**
 * @param {import("../options.mjs").Options} options
 * @param {readonly string[]} nodeArgs
 * @param {readonly string[]} args
 */
export function pikoCommand(options, nodeArgs, args) {
  const file = options.pikoFile ?? DEFAULT_PROGRAM;
  return { command: options.nodeFile, args: [...nodeArgs, file, ...args] };
}

/**
 * The first line of a JSON log with this message.
 * @param {string} file
 * @param {string} message
 * @returns {Record<string, unknown> | undefined}
 */
export function findLogLine(file, message) {
  const lines = readFileSync(file, "utf8").split("\n");
  // The last piece is an incomplete line, or empty.
  lines.pop();
  for (const line of lines) {
    if (!line.includes(`"msg":"${message}"`)) continue;
    /** @type {Record<string, unknown>} */
    const entry = JSON.parse(line);
    if (entry["msg"] === message) return entry;
  }
  return undefined;
}
