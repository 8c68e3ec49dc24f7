// Repeatedly requests a small response on one persistent connection, with pauses, for a number of seconds, and prints
// percentiles of the latency as JSON. It is a process of its own, so that no bulk data passes through its event loop.
// Arguments: port, host, seconds.
// @ts-check

import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const PAUSE_MS = 2;

const [port = "", host = "", seconds = "1"] = process.argv.slice(2);
const socket = connect({ port: Number(port), host: "127.0.0.1", noDelay: true });
const request = `GET /small HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
/** @type {(() => void) | undefined} */
let answered;
let text = "";
socket.setEncoding("latin1");
socket.on("data", (/** @type {string} */ chunk) => {
  text += chunk;
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0 || text.length < headEnd + 104) return;
  if (!text.startsWith("HTTP/1.1 200")) throw new Error(text);
  text = "";
  answered?.();
});
socket.on("end", () => {
  throw new Error("the connection ended");
});

/** @type {number[]} */
const latenciesUs = [];
const endAt = performance.now() + Number(seconds) * 1000;
while (performance.now() < endAt) {
  const startedAt = performance.now();
  const done = new Promise((resolve) => (answered = () => resolve(undefined)));
  socket.write(request);
  await done;
  latenciesUs.push((performance.now() - startedAt) * 1000);
  await delay(PAUSE_MS);
}
socket.destroy();
latenciesUs.sort((a, b) => a - b);
const percentile = (/** @type {number} */ share) =>
  Math.round(latenciesUs[Math.min(latenciesUs.length - 1, Math.floor(latenciesUs.length * share))] ?? 0);
process.stdout.write(
  JSON.stringify({ count: latenciesUs.length, p50Us: percentile(0.5), p99Us: percentile(0.99) }),
);
