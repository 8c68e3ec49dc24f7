// Sends requests at a steady rate through a Service, as a plain client with persistent connections would, and never retries
// any. Prints its counts as JSON lines: {"event":"second",...} while it runs, {"event":"sum",...} at the end. Ends when its
// stdin does. Runs in a pod, in the image of `piko`, with nothing but Node.js. For an https URL, it verifies the server by
// the authority in ca.crt next to this file. Streams must stay open from the beginning to the end.
//
//   node load.mjs URL ENDPOINT [requests a second] [streams] [fresh: each request on a connection of its own]

import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { randomBytes } from "node:crypto";

const [url, endpoint, rateText = "200", streamsText = "0", fresh] = process.argv.slice(2);
const rate = Number(rateText);
const secure = url.startsWith("https:");
const { Agent, request } = secure ? https : http;
const tls = secure ? { ca: readFileSync(new URL("ca.crt", import.meta.url)) } : {};
const TICK_MS = 10;
const TIMEOUT_MS = 30_000;
const MAX_SOCKETS = 64;
const LISTED_FAILURES = 100;

// Uses all connections in turn: a rarely used one might be used just when the server closes it.
const agent = new Agent({
  keepAlive: fresh === undefined,
  maxSockets: MAX_SOCKETS,
  scheduling: "fifo",
  ...tls,
});
const upload = randomBytes(1_024).toString("base64url");
const start = performance.now();
const latencies = [];
const failures = [];
const sum = { sent: 0, succeeded: 0, failed: { GET: 0, POST: 0 }, streams: { open: 0, ended: 0 } };
let second = { sent: 0, failed: 0, slowestMs: 0 };
let inFlight = 0;

/** Sends one request. Every fourth one carries a body, which must be echoed. */
function send(number) {
  const method = number % 4 === 3 ? "POST" : "GET";
  const expected = method === "POST" ? upload : `answer to ${number}`;
  const sentMs = performance.now();
  const outgoing = request(`${url}${method === "POST" ? "/echo" : `/answer/${number}`}`, {
    method,
    agent,
    headers: { "x-piko-endpoint": endpoint, "content-length": method === "POST" ? upload.length : 0 },
  });
  let settled = false;
  let local = "";
  const settle = (problem, response) => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    inFlight--;
    const ms = performance.now() - sentMs;
    latencies.push(ms);
    second.slowestMs = Math.max(second.slowestMs, Math.round(ms));
    if (problem === undefined) {
      sum.succeeded++;
      return;
    }
    second.failed++;
    sum.failed[method]++;
    if (failures.length >= LISTED_FAILURES) return;
    const { localPort, remoteAddress } = outgoing.socket ?? {};
    failures.push({
      at: new Date().toISOString(),
      seconds: Number(((sentMs - start) / 1_000).toFixed(2)),
      afterMs: Math.round(ms),
      method,
      problem,
      reused: outgoing.reusedSocket,
      status: response?.statusCode,
      port: localPort ?? local,
      remoteAddress,
    });
  };
  const timer = setTimeout(() => {
    settle(`no answer in ${TIMEOUT_MS} ms`);
    outgoing.destroy();
  }, TIMEOUT_MS);
  outgoing.on("error", (error) => settle(`${error.code ?? ""} ${error.message}`));
  outgoing.on("response", (response) => {
    let body = "";
    local = response.socket.localPort;
    response.setEncoding("utf8").on("data", (text) => (body += text));
    response.on("error", (error) => settle(`body: ${error.message}`, response));
    response.on("end", () => {
      if (response.statusCode !== 200)
        settle(`status ${response.statusCode}: ${body.slice(0, 200)}`, response);
      else if (body !== expected) settle(`wrong body of ${body.length} characters`, response);
      else settle(undefined, response);
    });
  });
  sum.sent++;
  second.sent++;
  inFlight++;
  outgoing.end(method === "POST" ? upload : undefined);
}

/** Opens a stream, which the service continues until its client leaves. */
function stand() {
  let over = false;
  const onEnd = (problem) => {
    if (over || ending) return;
    over = true;
    sum.streams.ended++;
    failures.push({ at: new Date().toISOString(), method: "stream", problem });
  };
  // A connection of its own, so that streams use up none of the agent's connections.
  const outgoing = request(`${url}/stream`, {
    agent: false,
    headers: { "x-piko-endpoint": endpoint },
    ...tls,
  });
  outgoing.on("error", (error) => onEnd(`${error.code ?? ""} ${error.message}`));
  outgoing.on("response", (response) => {
    if (response.statusCode !== 200) onEnd(`status ${response.statusCode}`);
    else sum.streams.open++;
    response.on("error", (error) => onEnd(`body: ${error.message}`));
    response.resume().on("end", () => onEnd("its end"));
  });
  outgoing.end();
}
let ending = false;
for (let i = 0; i < Number(streamsText); i++) stand();

// Sends as many as are due by now, so that a late timer doesn't lower the rate.
const sending = setInterval(() => {
  const due = Math.floor(((performance.now() - start) / 1_000) * rate);
  while (sum.sent < due) send(sum.sent);
}, TICK_MS);
const reporting = setInterval(() => {
  console.log(JSON.stringify({ event: "second", ...second, inFlight }));
  second = { sent: 0, failed: 0, slowestMs: 0 };
}, 1_000);

async function end() {
  ending = true;
  clearInterval(sending);
  await new Promise((resolve) => {
    const waiting = setInterval(() => {
      if (inFlight > 0) return;
      clearInterval(waiting);
      resolve();
    }, TICK_MS);
  });
  clearInterval(reporting);
  latencies.sort((a, b) => a - b);
  const percentile = (share) => Number((latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(1));
  const latencyMs = { p50: percentile(0.5), p99: percentile(0.99), max: percentile(0.99999) };
  const seconds = Number(((performance.now() - start) / 1_000).toFixed(1));
  process.stdout.write(
    `${JSON.stringify({ event: "sum", seconds, connections: MAX_SOCKETS, ...sum, latencyMs, failures })}\n`,
    () => process.exit(0),
  );
}
process.stdin.resume().on("end", () => void end());
