// TCP endpoints: `piko agent tcp` next to a service, `piko forward tcp` next to its clients.

import { connect } from "node:net";
import { join } from "node:path";
import { PatternChecker, PatternSource, SeededRandom } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { startAgent, startForward, startServer, type RunningServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startEchoService, startRawService } from "../harness/raw-service.js";
import { perFile, perTest, type Stage } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();
let server: RunningServer;

beforeAll(async () => {
  server = await startServer(stage);
});

/** Starts an agent for a TCP service and a forwarder to it; returns the forwarder's address. */
async function through(target: string, endpoint: string, at: Stage = scene): Promise<string> {
  await startAgent(at, server.upstream, endpoint, target, { mode: "tcp" });
  return (await startForward(at, server.proxy, endpoint)).addr;
}

describe("a TCP connection", () => {
  it("carries bytes both ways", async () => {
    const { addr } = await startEchoService(scene);
    const client = await RawClient.connect(scene, await through(addr, "echo"));
    client.send("hello");
    expect((await client.take(5)).toString()).toBe("hello");
  });

  it("lets the service speak first", async () => {
    const { addr } = await startRawService(scene, (socket) => socket.write("220 ready\r\n"));
    const client = await RawClient.connect(scene, await through(addr, "greets"));
    expect((await client.take(11)).toString()).toBe("220 ready\r\n");
  });

  it("carries 100 MB each way at once, whole", async () => {
    const { addr } = await startEchoService(scene);
    const [host, port] = (await through(addr, "bulk")).split(":");
    const total = 100_000_000;
    const socket = connect({ host, port: Number(port) });
    scene.defer(() => void socket.destroy());
    const checker = new PatternChecker();
    const received = new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("data", (piece) => {
        checker.update(piece);
        if (checker.offset >= total) resolve();
      });
    });
    for (const piece of new PatternSource(total)) {
      if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve));
    }
    await within(received, "echo of 100 MB", 60_000);
    checker.assertComplete(total);
  });

  it("ends at the client when the service ends it, after its last bytes", async () => {
    const last = new SeededRandom(1).bytes(1_000_000);
    const { addr } = await startRawService(scene, (socket) => socket.end(last));
    const client = await RawClient.connect(scene, await through(addr, "ends"));
    expect((await client.rest()).equals(last)).toBe(true);
  });

  it("may end in one direction and continue in the other", async () => {
    const { addr } = await startRawService(scene, (socket) => {
      let heard = "";
      socket.on("data", (piece) => {
        heard += piece.toString();
      });
      socket.on("end", () => socket.end(`heard ${heard}`));
    });
    const client = await RawClient.connect(scene, await through(addr, "half"));
    client.send("a question");
    client.socket.end();
    expect((await client.rest()).toString()).toBe("heard a question");
  });

  it("ends at the service when the client leaves", async () => {
    const service = await startRawService(scene, (socket) => {
      socket.resume().on("end", () => socket.end());
    });
    const client = await RawClient.connect(scene, await through(service.addr, "goes"));
    client.send("x");
    await eventually(() => service.sockets.size === 1, "connection at the service");
    client.socket.destroy();
    await eventually(() => service.sockets.size === 0, "end at the service");
  });

  it("opened while its agent is away waits for the agent to return, on the same node", async () => {
    const { addr } = await startEchoService(scene);
    // A busy machine takes a while to start an agent.
    const server = await startServer(scene, { "proxy.reconnect-wait": "60s" });
    const away = await startAgent(scene, server.upstream, "away", addr, { mode: "tcp" });
    const forwarder = await startForward(scene, server.proxy, "away");
    away.signal("SIGTERM");
    await away.stopped();
    const client = await RawClient.connect(scene, forwarder.addr);
    client.send("early");
    await eventually(
      async () => (await metric(server.admin, "piko_upstreams_waiting_requests")) === 1,
      "a dial that waits",
    );
    await startAgent(scene, server.upstream, "away", addr, { mode: "tcp" });
    expect((await client.take(5)).toString()).toBe("early");
  });

  it("is closed at once when no one listens on the endpoint", async () => {
    const { addr } = await startForward(scene, server.proxy, "nobody");
    const client = await RawClient.connect(scene, addr);
    expect((await client.rest()).length).toBe(0);
  });

  it("is closed when the service can't be reached", async () => {
    const service = await startRawService(scene, () => {});
    await service.stop();
    const client = await RawClient.connect(scene, await through(service.addr, "down"));
    client.send("x");
    expect((await client.rest()).length).toBe(0);
  });
});

describe.runIf(haveTools("redis-server", "redis-cli"))("redis", () => {
  async function redis(): Promise<string[]> {
    const directory = await scene.directory();
    const socket = join(directory, "socket");
    // Redis doesn't accept port 0 with TCP enabled, so the test finds a free port first.
    const probe = await startRawService(scene, () => {});
    await probe.stop();
    const port = probe.addr.split(":")[1] ?? "";
    const flags = [
      "--port",
      port,
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--dir",
      directory,
      "--unixsocket",
      socket,
    ];
    const program = startProgram(scene, "redis", "redis-server", flags);
    await program.waitForLine(({ text }) => /ready to accept connections/i.test(text), "readiness");
    const [host = "", local = ""] = (await through(`127.0.0.1:${port}`, "redis")).split(":");
    return ["-h", host, "-p", local];
  }

  it("answers its own client through the tunnel", async () => {
    const address = await redis();
    expect((await run("redis-cli", [...address, "PING"])).stdout).toBe("PONG\n");
    expect((await run("redis-cli", [...address, "SET", "key", "value"])).stdout).toBe("OK\n");
    expect((await run("redis-cli", [...address, "GET", "key"])).stdout).toBe("value\n");
  });

  it("stores and returns 100 MB intact", async () => {
    const address = await redis();
    const value = new SeededRandom(2).bytes(1_000_000).toString("base64").slice(0, 1_000_000);
    for (let i = 0; i < 100; i++) {
      const set = await run("redis-cli", [...address, "-x", "SET", `key:${i}`], { input: `${i}:${value}` });
      expect(set.stdout).toBe("OK\n");
    }
    for (let i = 0; i < 100; i += 9) {
      const { stdout } = await run("redis-cli", [...address, "--raw", "GET", `key:${i}`]);
      expect(stdout === `${i}:${value}\n`).toBe(true);
    }
    const pushed = await run("redis-cli", [
      ...address,
      "--raw",
      "MGET",
      ...Array.from({ length: 50 }, (_, i) => `key:${i}`),
    ]);
    expect(pushed.stdout.length).toBeGreaterThan(50_000_000);
    expect(pushed.stdout).toBe(Array.from({ length: 50 }, (_, i) => `${i}:${value}\n`).join(""));
  });

  it("answers a pipeline of 100,000 commands", async () => {
    const address = await redis();
    const commands = Array.from({ length: 100_000 }, (_, i) => `SET k${i} ${i}`).join("\n");
    const { stdout } = await run("redis-cli", [...address, "--pipe"], { input: `${commands}\n` });
    expect(stdout).toMatch(/errors: 0, replies: 100000/);
  });
});
