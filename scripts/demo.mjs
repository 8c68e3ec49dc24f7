// `npm run demo`: a server, a service that only this machine can reach, and an agent that brings it to the server, with
// real requests through all of them. Stays until Ctrl-C; `--once` ends after the proof, `--verbose` shows the logs.
// Brings a fresh clone to where it can run.

import { request as httpRequest } from "node:http";
import { createServer } from "node:net";
import { Program } from "./demo/program.mjs";
import { startService } from "./demo/service.mjs";
import { setUp } from "./setup.mjs";

const HOST = "127.0.0.1";
const ENDPOINT = "demo";
const PREFERRED_PORTS = { proxy: 8000, upstream: 8001, admin: 8002 };
/** A program that ends this soon after its start won't get better by being started again. */
const STABLE_MS = 2_000;
/** How long the demo's own requests may take. */
const REQUEST_MS = 10_000;

const args = process.argv.slice(2);
const once = args.includes("--once");
const verbose = args.includes("--verbose");
const unknown = args.filter((arg) => arg !== "--once" && arg !== "--verbose");
if (unknown.length > 0) {
  console.error(`unknown argument: ${unknown.join(" ")}\nusage: npm run demo [-- --once] [-- --verbose]`);
  process.exit(2);
}

const colours = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
const paint = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, green, yellow, red] = ["1", "2", "32", "33", "31"].map(paint);

/** What runs, by name; all of it ends with the demo. */
const programs = new Map();
let service;
let ending = false;

/**
 * Runs a program, and runs it again whenever it ends, as a service manager would. Resolves when it first said `ready`;
 * `watch` is given every new run.
 */
function supervise(name, programArgs, ready, watch = () => {}) {
  const startMs = Date.now();
  const program = new Program(name, programArgs, {
    onLine: (line) => {
      if (verbose) console.error(dim(`${name.padEnd(6)} | ${line}`));
    },
    onEnd: (how, killed) => {
      if (ending) return;
      if (!killed && Date.now() - startMs < STABLE_MS) {
        void end(program.failure(`ended: ${how}`));
        return;
      }
      note(
        `the ${name} (pid ${program.pid}) is gone: ${how}. Starting it again, as a service manager would.`,
      );
      const goneMs = Date.now();
      supervise(name, programArgs, ready, watch).then(
        (next) => note(`the ${name} is back after ${Date.now() - goneMs} ms, as pid ${next.pid}.`),
        end,
      );
    },
  });
  programs.set(name, program);
  watch(program);
  return program.record(ready).then(() => program);
}

function note(text) {
  console.log(`${yellow("!")} ${text}`);
}

function done(name, text, startMs) {
  console.log(`${green("✓")} ${bold(name.padEnd(9))}${text} ${dim(`(${Date.now() - startMs} ms)`)}`);
}

/** The preferred port if nobody has it, else any free one. */
async function choosePort(preferred) {
  for (const port of [preferred, 0]) {
    const server = createServer();
    const chosen = await new Promise((resolve) => {
      server.once("error", () => resolve(undefined));
      server.listen(port, HOST, () => resolve(server.address().port));
    });
    if (chosen === undefined) continue;
    await new Promise((resolve) => server.close(resolve));
    return chosen;
  }
  throw new Error("no free port");
}

/** Sends a request to the endpoint through the proxy port; `until` may end the reading of an endless body. */
function ask(port, path, { until = () => false } = {}) {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const options = { host: HOST, port, path, agent: false, headers: { "x-piko-endpoint": ENDPOINT } };
    const request = httpRequest(options, (response) => {
      let body = "";
      const finish = () => {
        const { statusCode: status, statusMessage, headers } = response;
        clearTimeout(timer);
        resolve({ status, statusMessage, headers, body, ms: performance.now() - startMs });
        request.destroy();
      };
      response.setEncoding("utf8").on("data", (text) => {
        body += text;
        if (until(body)) finish();
      });
      response.on("end", finish).on("error", reject);
    });
    const timer = setTimeout(() => request.destroy(new Error(`no answer in ${REQUEST_MS} ms`)), REQUEST_MS);
    request.on("error", (error) => reject(new Error(`GET ${path} through the tunnel: ${error.message}`)));
    request.end();
  });
}

function check(condition, text, answer) {
  if (!condition) throw new Error(`${text}: got status ${answer.status} and ${JSON.stringify(answer.body)}`);
}

/** Starts everything and sends the requests that prove it. */
async function run() {
  await setUp();
  console.log(`\n${bold("Piko demo")}: a service that can't be reached from outside, reached.\n`);

  let startMs = Date.now();
  const ports = {};
  for (const [name, preferred] of Object.entries(PREFERRED_PORTS)) ports[name] = await choosePort(preferred);
  const bind = Object.entries(ports).flatMap(([name, port]) => [`--${name}.bind-addr`, `${HOST}:${port}`]);
  // A cluster of one: nobody needs to know its gossip port.
  bind.push("--cluster.gossip.bind-addr", `${HOST}:0`);
  await supervise("server", ["server", ...bind, "--grace-period", "2s"], "server started");
  done(
    "server",
    `for clients on port ${ports.proxy}, for agents on ${ports.upstream}, admin on ${ports.admin}`,
    startMs,
  );

  startMs = Date.now();
  service = await startService();
  done("service", `a small web application on ${HOST}:${service.port}, which knows nothing of Piko`, startMs);

  startMs = Date.now();
  const upstream = `http://${HOST}:${ports.upstream}`;
  const agentArgs = [
    "agent",
    "http",
    ENDPOINT,
    `${service.port}`,
    "--connect.url",
    upstream,
    "--grace-period",
    "2s",
  ];
  const agent = await supervise("agent", agentArgs, "connected", (program) => {
    let lost = false;
    program.onRecord(({ msg }) => {
      if (ending) return;
      if (msg === "disconnected from server")
        note("the agent lost its server and tries again until it is back.");
      if (msg === "connected" && lost) note("the agent is connected again.");
      lost = msg === "disconnected from server" || (lost && msg !== "connected");
    });
  });
  done("agent", `connected out to the server and listens on endpoint "${ENDPOINT}"`, startMs);

  const answer = await ask(ports.proxy, "/hello");
  check(answer.status === 200 && JSON.parse(answer.body).hello !== undefined, "GET /hello", answer);
  const again = await ask(ports.proxy, "/hello");
  let firstEventMs;
  const streamStartMs = performance.now();
  const events = await ask(ports.proxy, "/events", {
    until: (body) => {
      firstEventMs ??= performance.now() - streamStartMs;
      return body.split("\n\n").length > 3;
    },
  });
  check(events.status === 200 && firstEventMs < 900, "three events of GET /events as they happen", events);

  const left = `  you ── GET /hello ──▶ server :${ports.proxy} ══`;
  console.log(`\n${left}═ tunnel ═════ agent ──▶ service :${service.port}`);
  console.log(dim(`${" ".repeat(left.length)}↑ opened by the agent, outbound only\n`));
  console.log(`  ${bold(`HTTP/1.1 ${answer.status} ${answer.statusMessage}`)}`);
  console.log(`  ${answer.body.trim()}`);
  const [first, next, event] = [answer.ms, again.ms, firstEventMs].map((ms) => ms.toFixed(1));
  console.log(
    `  first request ${first} ms, next one ${next} ms, first of 3 events of a stream ${event} ms\n`,
  );
  return { ports, agent };
}

function printNextSteps({ ports, agent }) {
  const proxy = `http://localhost:${ports.proxy}`;
  const piko = "npx piko";
  const connect =
    ports.upstream === PREFERRED_PORTS.upstream ? "" : ` --connect.url http://localhost:${ports.upstream}`;
  const lines = [
    ["In a browser", `http://${ENDPOINT}.localhost:${ports.proxy}/`],
    ["With curl", `curl -H 'x-piko-endpoint: ${ENDPOINT}' ${proxy}/hello`],
    ["An event stream", `curl -N -H 'x-piko-endpoint: ${ENDPOINT}' ${proxy}/events`],
    ["An upload", `curl -H 'x-piko-endpoint: ${ENDPOINT}' --data-binary @package.json ${proxy}/echo`],
    ["End the agent", `kill -9 ${agent.pid}`, "it comes back, and requests wait for it"],
    ["End the server", `kill -9 ${programs.get("server").pid}`, "the agent finds it again by itself"],
    ["Your own service", `${piko} agent http my-endpoint 3000${connect}`],
    ["", `curl -H 'x-piko-endpoint: my-endpoint' ${proxy}/`],
    ["Who is connected", `curl http://localhost:${ports.admin}/status/upstream/endpoints`],
  ];
  console.log(bold("Try it from another terminal"));
  for (const [title, command, remark] of lines) {
    console.log(`  ${title.padEnd(18)}${command}${remark === undefined ? "" : dim(`   # ${remark}`)}`);
  }
  console.log(`\nCtrl-C ends everything.`);
}

/** Ends all that runs, then the process: 1 if there was an error. */
async function end(error) {
  if (ending) return;
  ending = true;
  if (error !== undefined) console.error(`\n${red("✗")} ${error.message}`);
  await Promise.all([...programs.values()].map((program) => program.stop()));
  service?.close();
  process.exit(error === undefined ? 0 : 1);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (ending) process.exit(1);
    void end();
  });
}
// Whatever else ends the demo, nothing of it stays behind.
process.on("exit", () => {
  for (const program of programs.values()) program.kill();
});
process.on("uncaughtException", (error) => void end(error));
// A reader that has seen enough (`npm run demo | head`).
process.stdout.on("error", () => void end());

try {
  const started = await run();
  if (once) {
    console.log(`${green("✓")} everything works`);
    await end();
  }
  printNextSteps(started);
} catch (error) {
  await end(error);
}
