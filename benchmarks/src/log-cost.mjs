// `npm run bench -- --log`: what access logs and the agent's status cost a request: the access log of the server and that of the
// agent, in CPU time, and the status that an agent draws at a terminal, in user time of the agent. Each against none.
// @ts-check

import { readFileSync } from "node:fs";
import { startBackend } from "./backend.mjs";
import { readProcessCpuUs, readProcessUserUs } from "./cpu.mjs";
import { measureCosts } from "./fresh-starts.mjs";
import { findLogLine, pikoCommand, startAgent, startServer } from "./subjects/piko.mjs";
import { SUBJECT_CORE } from "./workbench.mjs";

/** Maximum ratio to the time without. */
const MAX_LOG = 1.15;
const MAX_SCREEN = 1.1;

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureLogCost({ bench, options }, say) {
  const { backendPort } = await startBackend(bench);
  const off = { ...options, accessLog: false };
  const on = { ...options, accessLog: true };

  /**
   * @param {object} how
   * @param {typeof options} [how.server]
   * @param {typeof options | "screen"} [how.agent]
   * @param {"server" | "agent"} how.counts
   * @param {(pid: number) => number} how.read
   */
  const starter =
    ({ server: serverOptions = off, agent: agentOptions = off, counts, read }) =>
    async () => {
      const server = await startServer({ bench, options: serverOptions }, []);
      const agent =
        agentOptions === "screen"
          ? await startAtTerminal(bench, options, server, backendPort)
          : await startAgent({ bench, options: agentOptions }, server, backendPort);
      const pid = counts === "server" ? server.program.pid : agent.pid;
      return {
        proxy: server.proxy,
        usedUs: () => [read(pid)],
        stop: async () => {
          await agent.stop();
          await server.program.stop();
        },
      };
    };

  /** @type {import("./fresh-starts.mjs").Cost[]} */
  const costs = [
    {
      name: "the server with its access log",
      meters: ["CPU time"],
      without: starter({ counts: "server", read: readProcessCpuUs }),
      withFeature: starter({ server: on, counts: "server", read: readProcessCpuUs }),
      max: MAX_LOG,
    },
    {
      name: "the agent with its access log",
      meters: ["CPU time"],
      without: starter({ counts: "agent", read: readProcessCpuUs }),
      withFeature: starter({ agent: on, counts: "agent", read: readProcessCpuUs }),
      max: MAX_LOG,
    },
    {
      name: "the agent with its status",
      meters: ["user time"],
      without: starter({ counts: "agent", read: readProcessUserUs }),
      withFeature: starter({ agent: "screen", counts: "agent", read: readProcessUserUs }),
      max: MAX_SCREEN,
    },
  ];
  return measureCosts({ bench, options }, costs, say);
}

/**
 * An agent that has a terminal to itself, made by `script`.
 * @param {import("./subjects/subject.mjs").SubjectContext["bench"]} bench
 * @param {import("./options.mjs").Options} options
 * @param {Awaited<ReturnType<typeof startServer>>} server
 * @param {number} backendPort
 * @returns {Promise<{ pid: number, stop: () => Promise<void> }>}
 */
async function startAtTerminal(bench, options, server, backendPort) {
  const { command, args } = pikoCommand(
    options,
    [],
    ["agent", "http", "bench", `127.0.0.1:${backendPort}`, "--connect.url", `http://${server.upstream}`],
  );
  const line = [command, ...args, "--http-client.max-idle-conns", "512"].join(" ");
  const terminal = bench.start({
    name: "piko-agent-at-terminal",
    command: "script",
    args: ["--quiet", "--return", "--flush", "--command", `exec ${line}`, "/dev/null"],
    env: { TERM: "xterm-256color" },
    core: SUBJECT_CORE,
  });
  await bench.waitFor("piko agent at a terminal", [terminal, server.program], () =>
    findLogLine(server.program.stderrFile, "upstream connected"),
  );
  await bench.waitFor("its status", [terminal], () =>
    /requests?\/s|\/s\b/.test(readFileSync(terminal.stdoutFile, "utf8")) ? true : undefined,
  );
  const pid = Number(readFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`, "utf8").trim());
  return { pid, stop: () => terminal.stop() };
}
