// The agents for the reconnect figure: `node reconnect-agents.mjs URL COUNT` listens on COUNT endpoints with the SDK in one
// process, and prints a line of JSON whenever all of them are connected again.
// @ts-check

import { listen } from "@piko/client";

const [url = "", count] = process.argv.slice(2);
const total = Number(count);
/** Maximum handshakes at once, at the start. */
const CONCURRENCY = 100;
let connected = 0;
let attempts = 0;

function report() {
  if (connected === total) process.stdout.write(`${JSON.stringify({ connected, attempts })}\n`);
}

let next = 0;
async function openSome() {
  while (next < total) {
    next += 1;
    const listener = await listen(`bench-${next}`, { url, tunnels: 1 });
    connected += 1;
    listener.on("connected", ({ replaced }) => {
      if (replaced) return;
      connected += 1;
      report();
    });
    listener.on("disconnected", () => (connected -= 1));
    listener.on("reconnecting", () => (attempts += 1));
  }
}
await Promise.all(Array.from({ length: CONCURRENCY }, openSome));
report();
