// A process that is paused: by SIGSTOP here, elsewhere by a laptop's sleep or the migration of a virtual machine. Timeouts
// that expire meanwhile must not count against peers whose data is waiting to be read.

import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { PatternSource } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually } from "../harness/deadline.js";
import { startAgent, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";

const scene = perTest();

/** All timeouts; the pause is longer. */
const LIMIT = "3s";
const PAUSE_MS = 6_000;
const LIMITS = {
  "proxy.http.read-header-timeout": LIMIT,
  "proxy.http.read-timeout": LIMIT,
  "proxy.http.write-timeout": LIMIT,
  "proxy.http.idle-timeout": LIMIT,
};
const EACH = 8;
const BYTES = 6_000_000;

/** Stops a process, by default for longer than the timeouts. */
async function pause(
  program: Program,
  meanwhile: () => void = () => {},
  ms: number = PAUSE_MS,
): Promise<void> {
  program.signal("SIGSTOP");
  await eventually(async () => / T /.test(await readFile(`/proc/${program.pid}/stat`, "latin1")), "stop");
  meanwhile();
  await delay(ms);
  program.signal("SIGCONT");
}

/** How long the service below keeps an idle connection, and a longer pause. */
const KEPT_MS = 1_500;
const LONGER_MS = 2_000;

/** A service that resets an idle connection when the next request arrives on it too late. */
async function startImpatientService(
  onRequest: (answer: () => void) => void,
): Promise<{ readonly addr: string }> {
  return startRawService(scene, (socket) => {
    let answeredMs = Number.POSITIVE_INFINITY;
    socket.on("data", () => {
      if (performance.now() - answeredMs > KEPT_MS) {
        socket.resetAndDestroy();
        return;
      }
      onRequest(() => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        answeredMs = performance.now();
      });
    });
  });
}

const POST = "POST /item HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n";

describe.skipIf(process.platform !== "linux")("a pause", () => {
  describe.runIf(haveTools("curl"))("doesn't break uploads and downloads", () => {
    it.each(["server", "agent"] as const)("of the %s", async (who) => {
      const service = await Service.start(scene);
      const server = await startServer(scene, LIMITS);
      const agent = await startAgent(scene, server.upstream, "web", service.addr);
      const file = `${await scene.directory()}/body`;
      await pipeline(Readable.from(new PatternSource(BYTES)), createWriteStream(file));
      const slowly = ["--limit-rate", "1M"];
      const uploads = Array.from({ length: EACH }, () =>
        curl(server.proxy, "web", "/sum?up", { args: [...slowly, "--upload-file", file] }),
      );
      const downloads = Array.from({ length: EACH }, () =>
        curl(server.proxy, "web", `/bytes?n=${BYTES}`, { args: slowly }),
      );
      await eventually(() => service.requests.length === 2 * EACH, "requests at the service");
      await pause({ server: server.program, agent }[who]);
      for (const { code, status, stdout } of await Promise.all(uploads)) {
        expect({ code, status }).toEqual({ code: 0, status: 200 });
        expect(JSON.parse(stdout)).toMatchObject({ bytes: BYTES, mismatchAt: -1 });
      }
      for (const { code, status } of await Promise.all(downloads)) {
        expect({ code, status }).toEqual({ code: 0, status: 200 });
      }
    });
  });

  it("of the server doesn't break a request head whose rest has arrived", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, LIMITS);
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("GET /item?i=1 HTTP/1.1\r\nHost: web.test\r\n");
    // Makes sure that the server has the first half; otherwise its timeout would only begin after the pause.
    const other = await RawClient.connect(scene, server.proxy);
    other.send("GET /item?i=1 HTTP/1.1\r\nHost: web.test\r\n\r\n");
    expect((await other.response("GET")).status).toBe(200);
    await pause(server.program, () => {
      client.send("\r\n");
      // An idle connection that is used again.
      other.send("GET /item?i=1 HTTP/1.1\r\nHost: web.test\r\n\r\n");
    });
    expect((await client.response("GET")).status).toBe(200);
    expect((await other.response("GET")).status).toBe(200);
  });

  it.each(["server", "agent"] as const)(
    "of the %s doesn't break a response that has arrived",
    async (who) => {
      const answers: (() => void)[] = [];
      const service = await startRawService(scene, (socket) => {
        socket.once("data", () =>
          answers.push(() => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
        );
      });
      // Only the process that pauses has the timeout; the other one would be right to give up.
      const server = await startServer(scene, who === "server" ? { ...LIMITS, "proxy.timeout": LIMIT } : {});
      const own = ["--server.enabled=true", "--server.bind-addr=127.0.0.1:0"];
      const flags = who === "agent" ? ["--timeout", LIMIT, ...own] : own;
      const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });
      const client = await RawClient.connect(scene, server.proxy);
      client.send("GET /item?i=1 HTTP/1.1\r\nHost: web.test\r\n\r\n");
      await eventually(() => answers.length === 1, "request at the service");
      await pause({ server: server.program, agent }[who], () => answers[0]?.());
      expect((await client.response("GET")).status).toBe(200);
      const { fields } = await { server: server.program, agent }[who].waitFor("process stood still");
      expect(fields["paused-ms"]).toBeGreaterThan(PAUSE_MS - 1_000);
      const { fields: serving } = await agent.waitFor("serving metrics");
      const port = who === "server" ? server.admin : String(serving["addr"]);
      const metrics = await (await fetch(`http://${port}/metrics`)).text();
      const seconds = /^piko_process_stood_still_seconds_total (\S+)$/m.exec(metrics)?.[1];
      expect(Number(seconds)).toBeGreaterThan(PAUSE_MS / 1_000 - 1);
    },
  );

  it("of the agent fails no POST on a connection that the service closes meanwhile", async () => {
    const service = await startImpatientService((answer) => answer());
    const server = await startServer(scene);
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("GET /item HTTP/1.1\r\nHost: web.test\r\n\r\n");
    expect((await client.response("GET")).status).toBe(200);
    await pause(agent, () => client.send(POST), LONGER_MS);
    expect((await client.response("POST")).status).toBe(200);
  });

  it("of the agent fails no POST on a connection whose last response it read late", async () => {
    const answers: (() => void)[] = [];
    const service = await startImpatientService((answer) => answers.push(answer));
    const server = await startServer(scene);
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    const [first, second] = [
      await RawClient.connect(scene, server.proxy),
      await RawClient.connect(scene, server.proxy),
    ];
    first.send("GET /item HTTP/1.1\r\nHost: web.test\r\n\r\n");
    await eventually(() => answers.length === 1, "request at the service");
    await pause(
      agent,
      () => {
        answers[0]?.();
        second.send(POST);
      },
      LONGER_MS,
    );
    expect((await first.response("GET")).status).toBe(200);
    await eventually(() => answers.length === 2, "second request at the service");
    answers[1]?.();
    expect((await second.response("POST")).status).toBe(200);
  });
});
