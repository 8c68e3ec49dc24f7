// `npm run bench -- --floods`: how long a small request takes while one connection sends one kind of cheap message at full
// speed. A window without a flood is measured first, then one for each kind. The flood and the prober share the load's core;
// the server shares the other one with the agents.
// @ts-check

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { FLOOD_KINDS, HTTP_ENDPOINT, TCP_ENDPOINT } from "./flood-kinds.mjs";
import { HOST } from "./load.mjs";
import { findLogLine, pikoCommand, startServer } from "./subjects/piko.mjs";
import { median } from "./summary.mjs";
import { LOAD_CORE, SUBJECT_CORE } from "./workbench.mjs";

const SERVICE = fileURLToPath(new URL("./fairness-service.mjs", import.meta.url));
const PROBER = fileURLToPath(new URL("./fairness-prober.mjs", import.meta.url));
const SENDER = fileURLToPath(new URL("./flood-sender.mjs", import.meta.url));
const TURN_PROBE = new URL("./turn-probe.mjs", import.meta.url).href;
const ENDPOINT = HOST.split(".")[0];
/** Maximum latency (p99) of other requests during a flood. */
const MAX_P99_MS = 100;
/** Time for the flood to fill all buffers. */
const WARMUP_MS = 300;
const PATIENCE_MS = 60_000;

/**
 * @typedef {{ cpuUs: number, turns: number }} Turns
 * @typedef {{ count: number, p50Us: number, p99Us: number }} Window
 * @typedef {{ sentBytes: number, receivedBytes: number, connections: number, failures: number, lastBytes: string }} Sent
 */

/**
 * @param {Omit<import("./subjects/subject.mjs").SubjectContext, "backendPort">} context
 * @param {(message: string) => void} say
 * @returns {Promise<{ report: string, met: boolean }>}
 */
export async function measureFloods({ bench, options }, say) {
  const common = { bench, options };
  const turnFile = join(bench.directory, "turns.jsonl");
  const server = await startServer(common, ["--import", TURN_PROBE], { BENCH_TURN_FILE: turnFile });
  const ownService = await startService(bench, options);
  const floodedService = await startService(bench, options);
  for (const [protocol, endpoint, port] of [
    ["http", ENDPOINT, ownService],
    ["http", HTTP_ENDPOINT, floodedService],
    ["tcp", TCP_ENDPOINT, floodedService],
  ]) {
    const args = ["agent", String(protocol), String(endpoint), `127.0.0.1:${port}`];
    const agent = bench.start({
      ...pikoCommand(
        options,
        [],
        [...args, "--connect.url", `http://${server.upstream}`, "--log.format", "json"],
      ),
      name: `piko-agent-${endpoint}`,
      core: SUBJECT_CORE,
      stopSignal: "SIGINT",
    });
    await bench.waitFor("piko agent", [agent, server.program], () =>
      findLogLine(agent.stderrFile, "connected"),
    );
  }
  const proxyPort = new URL(`http://${server.proxy}`).port;
  const upstreamPort = new URL(`http://${server.upstream}`).port;
  const probe = async (/** @type {number} */ seconds) =>
    /** @type {Window} */ (
      JSON.parse(
        await bench.run({
          name: "prober",
          command: options.nodeFile,
          args: [PROBER, proxyPort, HOST, String(seconds)],
          core: LOAD_CORE,
          timeoutMs: seconds * 1000 + PATIENCE_MS,
        }),
      )
    );
  await probe(options.warmupSeconds);
  const kinds = FLOOD_KINDS.filter(
    ({ name }) => options.cases.length === 0 || options.cases.some((part) => name.includes(part)),
  );
  const lines = [
    "| one connection sends | others wait: p50, ms | p99, ms | server, CPU ms a turn | it sends, MB/s | it receives, MB/s | connections ended |",
    "|---|---|---|---|---|---|---|",
  ];
  const alone = await probe(options.seconds);
  lines.push(`| nothing | ${milliseconds(alone.p50Us)} | ${milliseconds(alone.p99Us)} | | | | |`);
  let met = true;
  for (const { name } of kinds) {
    /** @type {Window[]} */
    const windows = [];
    /** @type {Sent[]} */
    const sent = [];
    /** @type {number[]} */
    const turnUs = [];
    const seconds = options.seconds + WARMUP_MS / 1000;
    for (let round = 1; round <= options.rounds; round += 1) {
      say(`floods: ${name}: round ${round}/${options.rounds}`);
      const flood = bench.run({
        name: "flood",
        command: options.nodeFile,
        args: [SENDER, name, proxyPort, upstreamPort, String(seconds)],
        core: LOAD_CORE,
        timeoutMs: seconds * 1000 + PATIENCE_MS,
      });
      await delay(WARMUP_MS);
      const before = await readTurns(bench, server.program, turnFile);
      const window = await probe(options.seconds);
      const after = await readTurns(bench, server.program, turnFile);
      const output = await flood;
      windows.push(window);
      turnUs.push((after.cpuUs - before.cpuUs) / (after.turns - before.turns));
      sent.push(JSON.parse(output));
    }
    const p99Us = median(windows.map((window) => window.p99Us));
    if (p99Us > MAX_P99_MS * 1000) met = false;
    const rate = (/** @type {"sentBytes" | "receivedBytes"} */ key) =>
      (median(sent.map((each) => each[key])) / seconds / 1e6).toFixed(1);
    const ended = median(sent.map((each) => each.failures));
    lines.push(
      `| ${name} | ${milliseconds(median(windows.map((window) => window.p50Us)))} | ${milliseconds(p99Us)} | ` +
        `${milliseconds(median(turnUs))} | ` +
        `${rate("sentBytes")} | ${rate("receivedBytes")} | ${ended} |`,
    );
    // The readable part: HTTP/2 gives the reason in the last frame.
    const lastBytes = (sent[0]?.lastBytes ?? "").split(/[^ -~\r\n]/).at(-1) ?? "";
    if (ended > 0) say(`${name}: ended by the server: ${JSON.stringify(lastBytes)}`);
  }
  lines.push("", `p99 of others beside each flood at most ${MAX_P99_MS} ms: ${met ? "met" : "MISSED"}`);
  return { report: `${lines.join("\n")}\n`, met };
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./options.mjs").Options} options
 */
function startService(bench, options) {
  const service = bench.start({
    name: "service",
    command: options.nodeFile,
    args: [SERVICE],
    core: LOAD_CORE,
  });
  return bench.waitFor("service", [service], () =>
    /^\d+(?=\n)/.exec(readFileSync(service.stdoutFile, "utf8"))?.at(0),
  );
}

/**
 * @param {import("./workbench.mjs").Workbench} bench
 * @param {import("./workbench.mjs").Program} program
 * @param {string} file
 * @returns {Promise<Turns>}
 */
async function readTurns(bench, program, file) {
  const lines = () => (existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : []);
  const known = lines().length;
  process.kill(program.pid, "SIGUSR2");
  return bench.waitFor("turns of the server", [program], () => {
    const line = lines()[known];
    return line === undefined ? undefined : /** @type {Turns} */ (JSON.parse(line));
  });
}

/** @param {number} us */
function milliseconds(us) {
  return (us / 1000).toFixed(2);
}
