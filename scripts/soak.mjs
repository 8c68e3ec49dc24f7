// `npm run soak -- --requests N`: mixed requests through a real server, agent and service, in rounds. Between rounds
// everything comes to rest, and the memory, handles and timers of the processes are read; any growth after the warm-up fails
// the soak. `--workers W` is the number of connections at a time (32), `--rounds R` the number of rounds (20).
// One endpoint's agent is ended and restarted constantly, alternately stopped gracefully and killed.

import { parseArgs } from "node:util";
import { Client } from "./soak/client.mjs";
import { findGrowth, readQuietSample } from "./soak/gauges.mjs";
import { startPiko, startService } from "./soak/programs.mjs";
import { createPicker } from "./soak/scenarios.mjs";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "1000000" },
    workers: { type: "string", default: "32" },
    rounds: { type: "string", default: "20" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log("usage: npm run soak -- [--requests N] [--workers W] [--rounds R]");
  process.exit();
}
const requests = Number(values.requests);
const workers = Number(values.workers);
const rounds = Number(values.rounds);
const MAX_ERRORS = 10;
/** Number of requests from one end of the churning agent to the next. */
const REQUESTS_PER_CHURN = 50_000;

/** @type {string[]} */
const errors = [];
const counts = new Map();

/** Sends requests until the round has its share. */
async function runRound(ports, share) {
  const pick = createPicker();
  let left = share;
  let churnAt = share;
  const work = async () => {
    /** @type {Client | undefined} */
    let kept;
    const worker = {
      ...ports,
      client: async () => {
        if (kept === undefined || kept.ended) kept = await Client.connect(ports.port);
        return kept;
      },
    };
    while (left > 0 && errors.length < MAX_ERRORS) {
      const [name, , scenario] = pick();
      left--;
      if (left < churnAt) {
        churnAt = left - REQUESTS_PER_CHURN;
        churn();
      }
      try {
        const made = await scenario(worker);
        left -= made - 1;
        counts.set(name, (counts.get(name) ?? 0) + made);
      } catch (error) {
        errors.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
        await kept?.close();
      }
    }
    await kept?.close();
  };
  await Promise.all(Array.from({ length: workers }, work));
}

const listeners = ["proxy", "upstream", "admin", "cluster.gossip"];
const flags = listeners.map((each) => `--${each}.bind-addr=127.0.0.1:0`);
const service = await startService();
// A soak may share a busy machine and wait longer than the defaults permit.
const patient = [
  ...[
    "proxy.timeout",
    "proxy.http.read-timeout",
    "proxy.http.read-header-timeout",
    "proxy.http.write-timeout",
  ],
  ...["upstream.limits.ping-interval", "upstream.limits.read-header-timeout"],
].map((flag) => `--${flag}=10m`);
const server = await startPiko(
  ["server", ...flags, ...patient, "--upstream.limits.ping-timeout=9m", "--drain-delay=0s"],
  "server started",
);
const addresses = server.record("server started");
const connect = ["--connect.url", `http://${addresses.upstream}`];
const startAgent = (endpoint, ...more) =>
  startPiko(
    ["agent", "http", endpoint, `127.0.0.1:${service.http}`, "--timeout=10m", ...connect, ...more],
    "connected",
  );
const agent = await startAgent("soak", "--server.enabled=true", "--server.bind-addr=127.0.0.1:0");
const agentAddress = agent.record("serving metrics").addr;
const tcpAgent = await startPiko(
  ["agent", "tcp", "soak-tcp", `127.0.0.1:${service.tcp}`, ...connect],
  "connected",
);
const portOf = (address) => Number(address.split(":").at(-1));
const forwarder = await startPiko(
  ["forward", "tcp", "127.0.0.1:0", "soak-tcp", "--connect.url", `http://${addresses.proxy}`],
  "listening",
);
const ports = { port: portOf(addresses.proxy), forwardPort: portOf(forwarder.record("listening").addr) };

let churning = Promise.resolve(await startAgent("churn"));
let churns = 0;
let churnIsUnderWay = false;
/** Ends the churning agent and starts another, unless that is in progress already. */
function churn() {
  if (churnIsUnderWay) return;
  churnIsUnderWay = true;
  const signal = churns++ % 2 === 0 ? "SIGTERM" : "SIGKILL";
  churning = churning.then(async (running) => {
    await running.end(signal);
    const next = await startAgent("churn");
    churnIsUnderWay = false;
    return next;
  });
  // Failures are reported at the end of the round, where `churning` is awaited.
  churning.catch(() => {});
}

const samples = { server: [], agent: [] };
const startedMs = performance.now();
const row = (...cells) => console.log(cells.map((cell) => String(cell).padStart(11)).join(" "));
row("requests", "req/s", "server MB", "heap", "handles", "timers", "agent MB", "heap", "handles", "timers");
for (let round = 0; round < rounds && errors.length < MAX_ERRORS; round++) {
  const roundMs = performance.now();
  await runRound(ports, Math.ceil(requests / rounds));
  await churning;
  const seconds = (performance.now() - roundMs) / 1000;
  const atServer = await readQuietSample(addresses.admin);
  const atAgent = await readQuietSample(agentAddress);
  samples.server.push(atServer);
  samples.agent.push(atAgent);
  const cells = [atServer, atAgent].flatMap((sample) => [
    sample.rssMb.toFixed(1),
    sample.heapMb.toFixed(1),
    sample.handles,
    sample.timers,
  ]);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  row(total, Math.round(requests / rounds / seconds), ...cells);
}

const growth =
  samples.server.length < 4
    ? ["too few rounds to tell"]
    : [
        ...findGrowth("server", samples.server, 4),
        // The agent keeps as many connections to the service as were recently needed at once.
        ...findGrowth("agent", samples.agent, workers),
      ];
await Promise.all([(await churning).end(), agent.end(), tcpAgent.end(), forwarder.end()]);
await server.end();
await service.end();
const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
for (const [name, count] of [...counts].sort(([, a], [, b]) => b - a))
  console.log(`${String(count).padStart(11)} ${name}`);
for (const line of [...errors, ...growth]) console.log(`FAILED ${line}`);
console.log(
  `${total} requests in ${((performance.now() - startedMs) / 1000).toFixed(0)} s, ${churns} agents ended, ` +
    `${errors.length} errors`,
);
process.exitCode = errors.length + growth.length === 0 ? 0 : 1;
