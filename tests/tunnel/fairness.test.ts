// One tunnel with many streams: bulk bodies that take all the bandwidth they can get, and small requests that get through in
// between. Nothing is timed here; `npm run bench -- --fairness` measures how long they wait.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Writable } from "node:stream";
import { beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { startTunnel, type Tunnel } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
let tunnel: Tunnel;

/** More bytes than a test can transfer. */
const ENDLESS = 1024 ** 4;
const PIECE = Buffer.alloc(64 * 1024);
const BULK_STREAMS = 4;
const REQUESTS = 25;
const SOME_BYTES = 512 * 1024;

beforeAll(async () => {
  const service = createServer((request, response) => {
    response.on("error", () => {});
    if (request.method === "POST") request.resume();
    else if (request.url === "/endless") fill(response);
    else response.end("small");
  });
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  stage.defer(() => {
    service.close();
    service.closeAllConnections();
  });
  tunnel = await startTunnel(stage, `127.0.0.1:${(service.address() as AddressInfo).port}`);
});

/** Writes until the stream refuses more, and again whenever it drains. */
function fill(out: Writable): void {
  const more = (): void => {
    while (!out.destroyed && out.write(PIECE));
  };
  out.on("drain", more);
  more();
}

/** Reads an endless response and discards it; returns a counter of its bytes. */
async function download(): Promise<() => number> {
  const client = await RawClient.connect(scene, tunnel.server.proxy);
  client.socket.removeAllListeners("data").on("data", () => {});
  client.send(`GET /endless HTTP/1.1\r\nHost: web.test\r\n\r\n`);
  return () => client.socket.bytesRead;
}

/** Sends an endless request body as fast as it is accepted; returns a counter of its bytes. */
async function upload(): Promise<() => number> {
  const client = await RawClient.connect(scene, tunnel.server.proxy);
  client.send(`POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: ${ENDLESS}\r\n\r\n`);
  fill(client.socket);
  return () => client.socket.bytesWritten;
}

describe.each([
  ["down", download],
  ["up", upload],
])("bulk streams %s", (_, start) => {
  it("leave room for small requests, and continue at the same time", async () => {
    const streams = await Promise.all(Array.from({ length: BULK_STREAMS }, start));
    const moved = (): number[] => streams.map((count) => count());
    await eventually(() => moved().every((bytes) => bytes > SOME_BYTES), "bulk data on every stream");
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    const before = moved();
    for (let i = 0; i < REQUESTS; i++) {
      client.send(`GET /${i} HTTP/1.1\r\nHost: web.test\r\n\r\n`);
      expect((await client.response()).status).toBe(200);
    }
    // The streams were active all the time: data moved meanwhile, and every stream makes progress afterwards.
    const meanwhile = moved().map((bytes, i) => bytes - (before[i] ?? 0));
    expect(Math.max(...meanwhile)).toBeGreaterThan(SOME_BYTES);
    const reached = moved();
    await eventually(
      () => moved().every((bytes, i) => bytes > (reached[i] ?? 0) + SOME_BYTES),
      "more on every stream",
    );
  });
});
