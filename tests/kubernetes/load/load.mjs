// Sends requests at a steady rate through a Service, as a plain client with kept-alive connections would, without ever
// repeating one; says what it counted, as JSON lines: {"event":"second",...} while it runs, {"event":"sum",...} at the end.
// Ends when its stdin does. Runs in a pod, in the image of `piko`, by nothing but Node.js.
//
//   node load.mjs URL ENDPOINT [requests a second]

import { Agent, request } from "node:http";
import { randomBytes } from "node:crypto";

const [url, endpoint, rateText = "200"] = process.argv.slice(2);
const rate = Number(rateText);
const TICK_MS = 10;
const TIMEOUT_MS = 30_000;
const MAX_SOCKETS = 64;
const LISTED_FAILURES = 20;

// Each connection gets its turn, so that none is used by chance only when it has just been closed.
const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, scheduling: "fifo" });
const upload = randomBytes(1_024).toString("base64url");
const start = performance.now();
const latencies = [];
const failures = [];
const sum = { sent: 0, succeeded: 0, failed: { GET: 0, POST: 0 } };
let second = { sent: 0, failed: 0, slowestMs: 0 };
let inFlight = 0;

/** One request; every fourth one carries a body, which has to come back. */
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

// As many as are due by now, so that a late timer doesn't lower the rate.
const sending = setInterval(() => {
  const due = Math.floor(((performance.now() - start) / 1_000) * rate);
  while (sum.sent < due) send(sum.sent);
}, TICK_MS);
const telling = setInterval(() => {
  console.log(JSON.stringify({ event: "second", ...second, inFlight }));
  second = { sent: 0, failed: 0, slowestMs: 0 };
}, 1_000);

async function end() {
  clearInterval(sending);
  await new Promise((resolve) => {
    const waiting = setInterval(() => {
      if (inFlight > 0) return;
      clearInterval(waiting);
      resolve();
    }, TICK_MS);
  });
  clearInterval(telling);
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
