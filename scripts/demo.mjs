// `npm run demo`: a cluster of three nodes behind a load balancer, a service that only this machine can reach, and an agent
// that connects it to the cluster. Sends requests through all of them, and continues while nodes are stopped and killed.
// Runs until Ctrl-C; `--once` ends it after the demonstration, `--verbose` shows the logs. First prepares a fresh clone.

import { setTimeout as delay } from "node:timers/promises";
import { DemoCluster } from "./demo/cluster.mjs";
import { describeEnd } from "./demo/program.mjs";
import { ask, ENDPOINT, HOST, Load } from "./demo/requests.mjs";
import { startService } from "./demo/service.mjs";
import { Supervisor } from "./demo/supervisor.mjs";
import { bold, dim, done, green, note, red } from "./demo/terminal.mjs";
import { DemoTokens, refusal } from "./demo/tokens.mjs";
import { setUp } from "./setup.mjs";

/** How long requests run before a node is stopped, and after it has been replaced. */
const MARGIN_MS = 400;
/** Much longer than gossip takes. */
const KNOWN_WITHIN_MS = 10_000;

const args = process.argv.slice(2);
const once = args.includes("--once");
const unknown = args.filter((arg) => arg !== "--once" && arg !== "--verbose");
if (unknown.length > 0) {
  console.error(`unknown argument: ${unknown.join(" ")}\nusage: npm run demo [-- --once] [-- --verbose]`);
  process.exit(2);
}

const supervisor = new Supervisor({
  verbose: args.includes("--verbose"),
  onFailure: (error) => void end(error),
});
const tokens = new DemoTokens();
const cluster = new DemoCluster(supervisor, tokens.secret);
let service;
let ending = false;

/** The agent's tunnels: the ids of their nodes, oldest first, and callbacks for the next change. */
const tunnels = { nodeIds: [], changed: new Set() };

function watchAgent(program) {
  let lost = false;
  program.onRecord(({ msg, "node-id": nodeId, tunnels: text }) => {
    if (ending || (msg !== "connected" && msg !== "disconnected from server")) return;
    // `2 of 2 tunnels, nodes a, b`
    tunnels.nodeIds = / nodes? (.*)$/.exec(text ?? "")?.[1]?.split(", ") ?? [];
    for (const resolve of tunnels.changed) resolve();
    tunnels.changed.clear();
    if (msg === "disconnected from server") {
      lost = true;
      if (supervisor.verbose) note("the agent has lost a node, and looks for another one.");
      return;
    }
    if (lost && supervisor.verbose) note(`the agent is connected to ${cluster.nameOf(nodeId)}.`);
    lost = false;
  });
}

/** Waits until the agent has tunnels to two nodes, none of them `without`. */
async function untilAtHome(without) {
  while (tunnels.nodeIds.length < 2 || tunnels.nodeIds.includes(without)) {
    await new Promise((resolve) => tunnels.changed.add(resolve));
  }
}

function check(condition, text, answer) {
  if (!condition) throw new Error(`${text}: got status ${answer.status} and ${JSON.stringify(answer.body)}`);
}

/** Starts everything. */
async function start() {
  await setUp();
  console.log(
    `\n${bold("Piko demo")}: a service that can't be reached from outside, reached through a cluster.\n`,
  );

  let startMs = Date.now();
  await tokens.create();
  await cluster.start();
  done("cluster", `three nodes that have found each other: ${cluster.names.join(", ")}`, startMs);

  startMs = Date.now();
  await cluster.startBalancer();
  const { admin, proxy, upstream } = cluster.ports;
  done("balancer", `for clients on port ${proxy}, for agents on ${upstream}, admin on ${admin}`, startMs);

  startMs = Date.now();
  service = await startService();
  done("service", `a small web application on ${HOST}:${service.port}, which knows nothing of Piko`, startMs);

  startMs = Date.now();
  const agent = ["agent", "http", ENDPOINT, `${service.port}`, "--connect.url", `http://${HOST}:${upstream}`];
  const [none, other] = await Promise.all([
    refusal(agent),
    refusal([...agent, "--connect.token-file", await tokens.add("another")]),
  ]);
  done("refused", `an agent without a token (${none}), and one with another endpoint's (${other})`, startMs);

  startMs = Date.now();
  const token = ["--connect.token-file", await tokens.add(ENDPOINT)];
  await supervisor.run("agent", {
    start: () => [...agent, ...token, "--grace-period", "2s"],
    ready: "connected",
    watch: watchAgent,
  });
  await untilAtHome();
  await untilKnown();
  done(
    "agent",
    `with a token for endpoint "${ENDPOINT}", connected out to ${homes().join(" and ")}, listens on it`,
    startMs,
  );
}

/** Waits until gossip has announced the endpoint to each node: only a moment, but a request may fall into it. */
async function untilKnown() {
  for (const name of cluster.names) {
    const until = Date.now() + KNOWN_WITHIN_MS;
    while ((await ask(cluster.port(name, "proxy"), "/hello")).status !== 200 && Date.now() < until) {
      await delay(20);
    }
  }
}

/** The names of the nodes that the agent has tunnels to. */
function homes() {
  return tunnels.nodeIds.map((id) => cluster.nameOf(id));
}

/** Sends requests to the service through each node, and requests an event stream. */
async function prove() {
  const { proxy } = cluster.ports;
  const answer = await ask(proxy, "/hello");
  check(answer.status === 200 && JSON.parse(answer.body).hello !== undefined, "GET /hello", answer);
  const times = [];
  for (const name of cluster.names) {
    // The first request to a node opens its connections to the others.
    await ask(cluster.port(name, "proxy"), "/hello");
    const { ms, status, ...rest } = await ask(cluster.port(name, "proxy"), "/hello");
    check(status === 200, `GET /hello at ${name}`, { status, ...rest });
    times.push(`${name} ${ms.toFixed(1)} ms`);
  }
  const streamStartMs = performance.now();
  let firstEventMs;
  const events = await ask(proxy, "/events", {
    until: (body) => {
      firstEventMs ??= performance.now() - streamStartMs;
      return body.split("\n\n").length > 2;
    },
  });
  check(events.status === 200 && firstEventMs < 900, "two events of GET /events as they happen", events);

  const [first, second] = homes();
  const third = cluster.names.find((name) => name !== first && name !== second);
  const left = `  you ─── balancer :${proxy} ─`;
  const indent = " ".repeat(left.length);
  console.log(`
${left}┬─ ${first} ════ tunnel ════╦═ agent ──▶ service :${service.port}
${indent}├─ ${second} ════ tunnel ════╝
${indent}└─ ${third}      ${dim("↑ opened by the agent, outbound only")}

  ${bold(`HTTP/1.1 ${answer.status} ${answer.statusMessage}`)}
  ${answer.body.trim()}
  from each node: ${times.join(", ")}; a stream's first event: ${firstEventMs.toFixed(1)} ms
`);
}

/** Ends one of the agent's nodes with a signal, under load, and waits until the cluster is complete again. */
async function loseNode(signal, expected) {
  const [id] = tunnels.nodeIds;
  const name = cluster.nameOf(id);
  const load = new Load(cluster.ports.proxy);
  await pause(MARGIN_MS);
  const startMs = Date.now();
  const how = await supervisor.end(name, signal);
  if (how !== expected) throw new Error(`${name} ended after ${signal} with ${describeEnd(how)}`);
  await untilAtHome(id);
  const now = homes().join(" and ");
  await cluster.untilReady();
  const readyMs = Date.now() - startMs;
  await cluster.untilComplete();
  await pause(MARGIN_MS);
  await load.stop();
  const { count, failures, repeated } = load;
  if (failures.length > 0) {
    throw new Error(
      `${failures.length} of ${count} requests failed when ${name} got ${signal}: ${failures[0]}`,
    );
  }
  const again = repeated === 0 ? "" : ` (${repeated} sent again, whose connection went with the node)`;
  console.log(
    `${green("✓")} ${bold(signal.padEnd(10))}to ${name}: the agent is at home on ${now}, a new ${name} came after ${(readyMs / 1_000).toFixed(1)} s.
            ${bold(`${count} requests meanwhile, 0 failed`)}${again}`,
  );
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function printNextSteps() {
  const { admin, proxy, upstream } = cluster.ports;
  const url = `http://localhost:${proxy}`;
  const connect = cluster.isPreferred("upstream") ? "" : ` --connect.url http://localhost:${upstream}`;
  const server = cluster.isPreferred("admin") ? "" : ` --server.url http://localhost:${admin}`;
  const [node] = homes();
  const token = await tokens.add("my-endpoint");
  const lines = [
    ["In a browser", `http://${ENDPOINT}.localhost:${proxy}/`],
    ["With curl", `curl -H 'x-piko-endpoint: ${ENDPOINT}' ${url}/hello`],
    ["An event stream", `curl -N -H 'x-piko-endpoint: ${ENDPOINT}' ${url}/events`],
    ["The cluster", `npx piko server status cluster nodes${server}`],
    ["Watch it", `npx piko server status cluster nodes --watch${server}`],
    ["End a node", `kill -9 ${supervisor.pid(node)}`, `${node}, which has one of the agent's tunnels`],
    ["End the agent", `kill -9 ${supervisor.pid("agent")}`, "requests wait for its return"],
    ["Your own service", `npx piko agent http my-endpoint 3000${connect} --connect.token-file ${token}`],
    ["", `curl -H 'x-piko-endpoint: my-endpoint' ${url}/`],
    ["What a token says", `npx piko token inspect ${token}`],
  ];
  console.log(bold("\nTry it from another terminal"));
  for (const [title, command, remark] of lines) {
    console.log(`  ${title.padEnd(18)}${command}${remark === undefined ? "" : dim(`   # ${remark}`)}`);
  }
  console.log(`\nCtrl-C ends everything.`);
}

/** Stops everything, then ends the process, with code 1 if there was an error. */
async function end(error) {
  if (ending) return;
  ending = true;
  if (error !== undefined) console.error(`\n${red("✗")} ${error.message}`);
  cluster.close();
  await supervisor.stop();
  service?.close();
  process.exit(error === undefined ? 0 : 1);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (ending) process.exit(1);
    void end();
  });
}
// However the demo ends, nothing is left behind.
process.on("exit", () => {
  supervisor.kill();
  tokens.close();
});
process.on("uncaughtException", (error) => void end(error));
// The reader has left (`npm run demo | head`).
process.stdout.on("error", () => void end());

try {
  await start();
  await prove();
  supervisor.verbose = false;
  console.log(`${bold("Nodes go, requests go on")} ${dim(`(four clients ask for /hello all the time)`)}`);
  await loseNode("SIGTERM", 0);
  await loseNode("SIGKILL", "SIGKILL");
  supervisor.verbose = true;
  if (once) {
    console.log(`\n${green("✓")} everything works`);
    await end();
  }
  await printNextSteps();
} catch (error) {
  await end(error);
}
