// Memory for buffered bytes: what it is used for, what happens when it is used up, and that it is released.

import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import type { RawResponse } from "../harness/raw-response.js";
import { clientFrame, openTunnel, yamuxFrame } from "../harness/wire.js";
import { ask, errorOf, GET, HOST, limited, limitRig, UPGRADE } from "./limit-rig.js";

const rig = limitRig();

/** Enough time for thousands of responses, which take seconds on an idle machine. */
const COMPUTING_MS = 150_000;

/** Counts responses with status 200 from now on, and discards everything else. */
function countAnswers(client: RawClient): () => number {
  const marker = "HTTP/1.1 200";
  let count = 0;
  let rest = "";
  client.socket.on("data", (piece: Buffer) => {
    client.buffer = Buffer.alloc(0);
    const parts = (rest + piece.toString("latin1")).split(marker);
    count += parts.length - 1;
    rest = (parts.at(-1) ?? "").slice(1 - marker.length);
  });
  return () => count;
}

describe("memory for buffered bytes", () => {
  it("refuses large heads that arrive in parts when it is used up, and is released", async () => {
    const server = await rig.start({ "proxy.limits.max-buffered-bytes": "6000" });
    const holder = await rig.connect(server);
    holder.send(`GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(3_500)}`);
    await untilMetric(server.admin, "piko_proxy_buffered_bytes", 3_500 + 35);
    const client = await rig.connect(server);
    client.send(`GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(6_000)}`);
    expect(errorOf(await client.response())).toEqual([503, "server is busy", "1"]);
    expect(await limited(server, "max_buffered_bytes")).toBe(1);

    // A small head in parts and a large one in one part are still accepted.
    const small = await rig.connect(server);
    small.send(GET.slice(0, 20));
    await untilMetric(server.admin, "piko_proxy_connections", 2);
    small.send(GET.slice(20));
    expect((await small.response()).status).toBe(200);
    expect(
      (await rig.askOnce(server, GET.replace("\r\n\r\n", `\r\nX: ${"x".repeat(6_000)}\r\n\r\n`))).status,
    ).toBe(200);
    holder.send("\r\n\r\n");
    await holder.response();
    for (const each of [holder, small]) each.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 1);
  });

  it("is limited for each connection: a client that sends more ahead isn't read until its turn comes", async () => {
    const server = await rig.start({ "proxy.limits.max-buffered-bytes-per-connection": "4096" });
    const client = await rig.hang(server, "ahead");
    const requests = GET.repeat(2_000);
    client.send(requests);
    await eventually(
      async () => (await limited(server, "max_buffered_bytes_per_connection")) === 1,
      "end of reading",
    );
    const held = (await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0;
    expect(held).toBeGreaterThan(4_096);
    // The limit, one read more, and what is kept of the request in progress.
    expect(held).toBeLessThan(4_096 + 65_536 + 1_024);
    expect(held).toBeLessThan(requests.length);
    expect((await rig.askOnce(server, GET)).status).toBe(200);
  });

  it("stays within the limit for a client that keeps sending ahead", async () => {
    const server = await rig.start({ "proxy.access-log.disable": "true" });
    const client = await rig.connect(server);
    const count = 3_000;
    client.send(GET.replace("\r\n\r\n", `\r\nX: ${"x".repeat(250)}\r\n\r\n`).repeat(count));
    const answers = countAnswers(client);
    let peak = 0;
    await eventually(
      async () => {
        peak = Math.max(peak, (await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0);
        return answers() === count;
      },
      "all answers",
      COMPUTING_MS,
    );
    expect(peak).toBeGreaterThan(0);
    // The limit, one read more, and the unit in which memory is allocated.
    expect(peak).toBeLessThan(5 * 65_536);
  });

  it("stays within the limit for a client that sends requests and reads no response", async () => {
    const server = await rig.start({});
    const client = await rig.connect(server);
    const request = "OPTIONS * HTTP/1.1\r\nHost: web.test\r\n\r\n";
    const count = 200_000;
    client.socket.pause();
    client.send(request.repeat(count));
    const { socket } = client;
    let before = -1;
    // The server stops reading when its responses aren't read.
    await eventually(async () => {
      const stuck = socket.writableLength > 0 && socket.bytesWritten === before;
      before = socket.bytesWritten;
      return stuck && (await metric(server.admin, "piko_proxy_connections")) === 1;
    }, "a server that reads no more");
    expect((await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0).toBeLessThan(4 * 65_536);
    expect((await rig.askOnce(server, GET)).status).toBe(200);
    const answers = countAnswers(client);
    socket.resume();
    await eventually(() => answers() === count, "all answers", COMPUTING_MS);
  });

  it("is used for response heads in parts too", async () => {
    const server = await startServer(rig.scene, { "proxy.limits.max-buffered-bytes": "100000" });
    // A real agent passes on only complete heads, so the test plays the agent.
    const agent = await openTunnel(rig.scene, server.upstream, "parts");
    const part = Buffer.from(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(40_000)}`);
    const hung: RawClient[] = [];
    for (let stream = 2; stream <= 10; stream += 2) {
      const client = await rig.connect(server);
      client.send(`GET /${stream} HTTP/1.1\r\nHost: parts.test\r\n\r\n`);
      await eventually(() => Promise.resolve(agent.buffer.includes(`GET /${stream} `)), "the request");
      agent.send(
        clientFrame(
          Buffer.concat([yamuxFrame(1, 2, stream, 0), yamuxFrame(0, 0, stream, part.length), part]),
        ),
      );
      agent.buffer = Buffer.alloc(0);
      hung.push(client);
    }
    const last = hung.at(-1);
    expect(errorOf((await last?.response()) as RawResponse)).toEqual([503, "server is busy", "1"]);
    const held = (await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0;
    expect(held).toBeLessThan(250_000);
    for (const each of hung) each.socket.destroy();
    agent.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    expect(await metric(server.admin, "piko_proxy_buffered_bytes")).toBe(0);
  });

  it("is zero when no one is connected, whatever was sent", async () => {
    const server = await rig.start({});
    const large = "x".repeat(200_000);
    const requests = [
      GET + GET + GET,
      `POST /sum HTTP/1.1\r\n${HOST}Content-Length: 200000\r\n\r\n${large}`,
      `POST /hang?given HTTP/1.1\r\n${HOST}Content-Length: 200000\r\n\r\n${large}`,
      `GET / HTTP/1.1\r\n${HOST}X: ${large}`,
      `POST /nobody HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: 200000\r\n\r\n${large}`,
    ];
    const clients = await Promise.all(requests.map(() => rig.connect(server)));
    clients.forEach((client, i) => client.send(requests[i] ?? ""));
    await rig.service.request("/hang?given");
    const dialed = await rig.connect(server);
    expect((await ask(dialed, `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`)).status).toBe(101);
    const agent = await RawClient.connect(rig.scene, server.upstream);
    agent.send(`GET /piko/v1/upstream/x HTTP/1.1\r\nX: ${"x".repeat(5_000)}`);
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 1);
    for (const client of [...clients, dialed, agent]) client.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 0);
    await untilMetric(server.admin, "piko_proxy_buffered_bytes", 0);
  });
});
