// The bytes of requests and responses over one connection of `node:net` or `node:tls`, and nothing else: what TLS costs in
// the platform itself. The requester sends requests as a node does (on a connection that it has accepted), the responder responds
// as an agent does.
//
//   node bare-exchange.mjs requester REQUEST_BYTES RESPONSE_BYTES AT_A_TIME [CERT KEY]    prints its port
//   node bare-exchange.mjs responder REQUEST_BYTES RESPONSE_BYTES PORT [CA]            prints "ready"
//
// SIGUSR2 starts the requester; a second one stops it, and it prints the number of exchanges in between.
// @ts-check

import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";

/** Maximum bytes in one write of a tunnel. */
const MAX_WRITE_BYTES = 256 * 1024;

const [role, requestText, responseText, number, ...files] = process.argv.slice(2);
const [requestBytes, responseBytes] = [Number(requestText), Number(responseText)];
const [first, second] = files.map((file) => readFileSync(file));

/**
 * Writes everything that became due in a turn at once, but no more than the socket accepts.
 * @param {import("node:net").Socket} socket
 */
function writer(socket) {
  const bytes = Buffer.alloc(MAX_WRITE_BYTES, "x");
  let due = 0;
  let scheduled = false;
  let held = false;
  const write = () => {
    scheduled = false;
    while (due > 0 && !held) {
      const count = Math.min(due, MAX_WRITE_BYTES);
      due -= count;
      held = !socket.write(bytes.subarray(0, count));
    }
  };
  socket.on("drain", () => {
    held = false;
    write();
  });
  return (/** @type {number} */ count) => {
    due += count;
    if (scheduled || held) return;
    scheduled = true;
    setImmediate(write);
  };
}

/** @param {import("node:net").Socket} socket */
function ask(socket) {
  const write = writer(socket);
  let running = false;
  let [received, done, open] = [0, 0, 0];
  const begin = (/** @type {number} */ count) => {
    open += count;
    write(count * requestBytes);
  };
  socket.on("data", (/** @type {Buffer} */ piece) => {
    received += piece.length;
    const count = Math.floor(received / responseBytes);
    received -= count * responseBytes;
    done += count;
    open -= count;
    if (running && count > 0) begin(count);
    else if (!running && open === 0) {
      process.stdout.write(`${done}\n`);
      done = 0;
    }
  });
  process.on("SIGUSR2", () => {
    running = !running;
    if (running) begin(Number(number));
  });
}

function answer() {
  let received = 0;
  /** @type {(count: number) => void} */
  let write = () => {};
  const options = {
    host: "127.0.0.1",
    port: Number(number),
    onread: {
      buffer: Buffer.alloc(MAX_WRITE_BYTES),
      callback: (/** @type {number} */ length) => {
        received += length;
        const count = Math.floor(received / requestBytes);
        received -= count * requestBytes;
        if (count > 0) write(count * responseBytes);
        return true;
      },
    },
  };
  const ready = () => process.stdout.write("ready\n");
  const socket =
    first === undefined
      ? connect(options, ready)
      : connectTls({ ...options, ca: first, ciphers: "TLS_AES_128_GCM_SHA256" }, ready);
  socket.setNoDelay(true);
  write = writer(socket);
}

if (role === "responder") answer();
else {
  const server =
    first === undefined || second === undefined
      ? createServer({ noDelay: true }, ask)
      : createTlsServer({ noDelay: true, cert: first, key: second }, ask);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    process.stdout.write(`${typeof address === "object" && address !== null ? address.port : 0}\n`);
  });
}
