// Peers that send anything, on every port and in every role: clients, agents, services, nodes, servers of agents. They send
// valid messages with small changes, because those get far. None of them may end a program: an exception in an event handler
// would end all other connections too.

import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";
import { SeededRandom } from "@piko/testkit";
import { expect, it } from "vitest";
import { startCluster } from "../harness/cluster.js";
import { within } from "../harness/deadline.js";
import { untilMetric } from "../harness/metrics.js";
import { piko, startAgent, startForward, startServer } from "../harness/piko.js";
import { startRawService } from "../harness/raw-service.js";
import { perTest } from "../harness/stage.js";
import { clientFrame, yamuxFrame } from "../harness/wire.js";

const scene = perTest();
const SEED = Number(process.env["SEED"] ?? 1);
const CONNECTIONS = 1_500;
const CONCURRENCY = 16;

const WEBSOCKET =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
const REQUESTS = [
  "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n",
  "POST /x?y HTTP/1.1\r\nHost: web.test\r\nContent-Length: 3\r\n\r\nabc",
  "PUT /c HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
  `GET /ws HTTP/1.1\r\nHost: web.test\r\n${WEBSOCKET}\r\n`,
  `GET /_piko/v1/tcp/tcp HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}\r\n`,
  `GET /piko/v1/upstream/web HTTP/1.1\r\nHost: x\r\nx-piko-capabilities: drain\r\n${WEBSOCKET}\r\n`,
  "GET /status/cluster/nodes?forward=b HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  "GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
  "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
];
const ANSWERS = [
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
  "HTTP/1.1 099 X\r\n\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
  "HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.0 302 F\r\nLocation: /x\r\nSet-Cookie: a=b\r\n\r\n",
  'HTTP/1.1 503 X\r\nContent-Type: application/json\r\nContent-Length: 13\r\nRetry-After: 1\r\n\r\n{"error":"x"}',
  "HTTP/1.1 304 X\r\nContent-Length: 10\r\nETag: x\r\n\r\n",
];
const PIECES = [
  "\r\n",
  "0",
  "999",
  "__proto__: x\r\n",
  "\0",
  "\u007f",
  "\u00ff",
  ": ",
  "x".repeat(5_000),
].concat([
  "Connection: close\r\n",
  "Upgrade: websocket\r\n",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
]);

const random = new SeededRandom(SEED);
const below = (limit: number): number => Math.floor(random.next() * limit);
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;

/** A message with up to four changes. */
function changed(text: string): Buffer {
  let bytes = Buffer.from(text, "latin1");
  for (let count = below(5); count > 0; count--) {
    const at = below(bytes.length + 1);
    const before = bytes.subarray(0, at);
    const after = bytes.subarray(at);
    const kind = below(5);
    if (kind === 0) bytes = Buffer.concat([before, Buffer.from([below(256)]), after]);
    else if (kind === 1) bytes = Buffer.concat([before, after.subarray(1 + below(4))]);
    else if (kind === 2) bytes = Buffer.concat([before, Buffer.from(pick(PIECES), "latin1"), after]);
    else if (kind === 3) bytes = Buffer.from(before);
    else bytes = Buffer.concat([bytes, Buffer.from(pick([...REQUESTS, ...ANSWERS]), "latin1")]);
  }
  return bytes;
}

/** Some yamux frames, each in a WebSocket frame; a server's frames are not masked. */
function tunnelBytes(masked: boolean): Buffer {
  const frames = Array.from({ length: 1 + below(5) }, () => {
    const type = below(6);
    const body = type === 0 ? changed(pick([...REQUESTS, ...ANSWERS])) : Buffer.alloc(0);
    const length = type === 0 ? body.length : below(3) > 0 ? below(64) : random.uint32();
    const header = yamuxFrame(type, below(4) > 0 ? 1 << below(4) : below(65_536), 1 + below(6), length);
    const payload = Buffer.concat([header, body]);
    const frame = masked ? clientFrame(payload, below(8) > 0 ? 0x82 : below(256)) : serverFrame(payload);
    if (below(10) === 0) frame[below(frame.length)] = below(256);
    return frame;
  });
  return Buffer.concat(frames);
}

function serverFrame(payload: Buffer): Buffer {
  const { length } = payload;
  const head = length < 126 ? [0x82, length] : [0x82, 126, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.from(head), payload]);
}

let handshakes = 0;

/**
 * Mostly answers a handshake correctly, and then sends anything. The first handshake always succeeds, because an agent exits
 * if its first attempt is rejected permanently.
 */
function actAsServer(socket: Socket): void {
  let seen = "";
  socket.on("data", (piece: Buffer) => {
    seen += piece.toString("latin1");
    const key = /sec-websocket-key: (\S+)/i.exec(seen)?.[1];
    if (key === undefined || !seen.includes("\r\n\r\n")) return;
    seen = "";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const capable = below(2) > 0 ? "x-piko-capabilities: drain\r\nx-piko-node-id: n\r\n" : "";
    const answer = `HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${capable}\r\n`;
    socket.write(handshakes++ === 0 || below(4) > 0 ? answer : changed(answer));
    for (let count = below(5); count > 0; count--) socket.write(tunnelBytes(false));
    if (below(2) > 0) socket.end();
    else socket.resetAndDestroy();
  });
}

/** Opens one connection that sends anything, and waits until it is closed. */
function disturb(address: string): Promise<void> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.on("error", () => {}).once("close", () => resolve());
    // Long enough for a response, and for a second message.
    socket.setTimeout(100, () => socket.destroy());
    let answers = 0;
    socket.on("data", () => {
      if (++answers < 4 && below(2) > 0)
        socket.write(below(2) > 0 ? tunnelBytes(true) : changed(pick(REQUESTS)));
      else if (answers > 20) socket.destroy();
    });
    const request = pick(REQUESTS);
    socket.write(below(3) > 0 ? changed(request) : request);
    if (request.includes("websocket")) socket.write(tunnelBytes(true));
    if (below(4) === 0) socket.end();
    else if (below(8) === 0) socket.resetAndDestroy();
  });
}

it(`hostile peers end no program, whatever they send (SEED=${SEED})`, async () => {
  const service = await startRawService(scene, (socket) => {
    socket.on("data", () => {
      socket.write(changed(pick(ANSWERS)));
      if (below(2) > 0) socket.end();
      else if (below(4) === 0) socket.resetAndDestroy();
    });
    socket.on("end", () => socket.end());
  });
  const [a] = await startCluster(scene, ["a"]);
  const b = await startServer(scene, {
    "cluster.node-id": "b",
    "cluster.join": a.gossip,
    "admin.advertise-addr": service.addr,
    "proxy.advertise-addr": service.addr,
  });
  await untilMetric(a.admin, 'piko_cluster_nodes{status="active"}', 2);
  const flags = ["--server.enabled", "--server.bind-addr", "127.0.0.1:0"];
  const http = await startAgent(scene, a.upstream, "web", service.addr, { flags });
  const others = [
    await startAgent(scene, b.upstream, "elsewhere", service.addr),
    await startAgent(scene, a.upstream, "tcp", service.addr, { mode: "tcp" }),
  ];
  const forward = await startForward(scene, a.proxy, "tcp");
  const badServer = await startRawService(scene, actAsServer);
  const url = ["--connect.url", `http://${badServer.addr}`, "--connect.timeout", "1h"];
  const lost = piko(scene, "agent of a bad server", ["agent", "http", "web", service.addr, ...url]);
  const lostForward = await startForward(scene, badServer.addr, "tcp");
  const metricsAddr = String((await http.waitFor("serving metrics")).fields["addr"]);
  const ports = [a.proxy, a.proxy, a.upstream, a.admin, b.proxy, a.gossip, metricsAddr];
  const all = [...ports, forward.addr, lostForward.addr];

  const programs = [a.program, b.program, http, ...others, forward.program, lost, lostForward.program];
  let left = CONNECTIONS;
  const disturbAll = async (): Promise<void> => {
    while (left-- > 0 && programs.every(({ exit }) => exit === undefined)) await disturb(pick(all));
  };
  await within(Promise.all(Array.from({ length: CONCURRENCY }, disturbAll)), "the last of them", 120_000);
  for (const program of programs) expect(program.exit, program.tail()).toBeUndefined();
  for (const admin of [a.admin, b.admin, metricsAddr]) {
    expect((await fetch(`http://${admin}/health`)).status).toBe(200);
  }
});
