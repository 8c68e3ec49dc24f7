// `npm run bench -- --log`: what telling of requests costs: the access log of the server and that of the agent, in CPU time, and the
// status that an agent draws on a terminal, in user time of the agent. Each against none, in windows by turns.
// @ts-check

import { readFileSync } from "node:fs";
import { startBackend } from "./backend.mjs";
import { compareByTurns } from "./by-turns.mjs";
import { CASES } from "./cases.mjs";
import { readProcessCpuUs, readProcessUserUs } from "./cpu.mjs";
import { runWrk } from "./load.mjs";
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
  const small = CASES.find((each) => each.kind === "load" && each.connections === 32);
  if (small === undefined || small.kind !== "load") throw new Error("no case of 32 connections");
  const off = { ...options, accessLog: false };
  const on = { ...options, accessLog: true };

  /**
   * @param {{ server: typeof options, agent: typeof options | "screen" }} how
   */
  async function start(how) {
    const server = await startServer({ bench, options: how.server }, []);
    const agentPid =
      how.agent === "screen"
        ? await startAtTerminal(bench, options, server, backendPort)
        : (await startAgent({ bench, options: how.agent }, server, backendPort)).pid;
    return { proxy: server.proxy, serverPid: server.program.pid, agentPid };
  }

  /**
   * @param {Awaited<ReturnType<typeof start>>} subject
   * @param {() => number} used
   * @param {number} seconds
   */
  async function usPerRequest(subject, used, seconds) {
    const before = used();
    const { requests } = await runWrk(bench, `http://${subject.proxy}`, /** @type {any} */ (small), seconds);
    return (used() - before) / requests;
  }

  /**
   * @param {string} what
   * @param {Awaited<ReturnType<typeof start>>} without
   * @param {Awaited<ReturnType<typeof start>>} withIt
   * @param {(subject: Awaited<ReturnType<typeof start>>) => number} used
   * @param {number} max
   */
  async function judge(what, without, withIt, used, max) {
    for (const each of [without, withIt])
      await usPerRequest(each, () => used(each), Math.ceil(options.warmupSeconds));
    const { first, half, ratio, second } = await compareByTurns(
      options.rounds,
      () => usPerRequest(without, () => used(without), options.seconds),
      () => usPerRequest(withIt, () => used(withIt), options.seconds),
      (round, a, b) => say(`${what}, round ${round}: ${a.toFixed(1)} us, ${b.toFixed(1)} us`),
    );
    const met = ratio - half <= max;
    lines.push(
      `- ${what}: ${first.toFixed(1)} us without, ${second.toFixed(1)} us with; ratio ${ratio.toFixed(3)} ± ${half.toFixed(3)} (95 %), ${met ? "within" : "above"} ${max}`,
    );
    return met;
  }

  /** @type {string[]} */
  const lines = [];
  const silent = await start({ server: off, agent: off });
  const server = await start({ server: on, agent: off });
  const agent = await start({ server: off, agent: on });
  const screen = await start({ server: off, agent: "screen" });
  const verdicts = [
    await judge(
      "access log of the server",
      silent,
      server,
      (each) => readProcessCpuUs(each.serverPid),
      MAX_LOG,
    ),
    await judge("access log of the agent", silent, agent, (each) => readProcessCpuUs(each.agentPid), MAX_LOG),
    await judge(
      "status of the agent",
      silent,
      screen,
      (each) => readProcessUserUs(each.agentPid),
      MAX_SCREEN,
    ),
  ];
  const head = `${options.rounds} rounds of ${options.seconds} s by turns, per request of 100 B from 32 connections:`;
  return { report: [head, "", ...lines, ""].join("\n"), met: verdicts.every(Boolean) };
}

/**
 * An agent that has a terminal to itself, made by `script`; its process id.
 * @param {import("./subjects/subject.mjs").SubjectContext["bench"]} bench
 * @param {import("./options.mjs").Options} options
 * @param {Awaited<ReturnType<typeof startServer>>} server
 * @param {number} backendPort
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
  return Number(readFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`, "utf8").trim());
}
