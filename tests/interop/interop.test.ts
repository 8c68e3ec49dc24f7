// Our programs with the Go libraries that Go Piko is built on, in every pairing.

import { setTimeout as delay } from "node:timers/promises";
import { type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.js";
import {
  goEchoCheck,
  type GoServer,
  haveGo,
  startGoAgent,
  startGoForward,
  startGoServer,
} from "../harness/go-peer.js";
import { type RunningServer, startAgent, startForward, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startEchoService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";

const scene = perTest();
const MIB = 1024 * 1024;

const get = (path: string, more = ""): string => `GET ${path} HTTP/1.1\r\nHost: web.test\r\n${more}\r\n`;

async function status(proxy: string, path = "/item?i=1"): Promise<number> {
  const client = await RawClient.connect(scene, proxy);
  client.send(get(path));
  const response = await client.response();
  client.socket.destroy();
  return response.status;
}

const serves = (proxy: string): Promise<true> =>
  eventually(async () => (await status(proxy).catch(() => 0)) === 200 && true, "200");

/** Warnings and errors that a Go yamux session logged, for example about a frame for a stream that has ended. */
const complaints = ({ lines }: Program): string[] =>
  lines.map(({ text }) => text).filter((text) => /\[(WARN|ERR)\]/.test(text));

/**
 * Tunnels of both pairings that are idle from the start of the file, and a promise for the time at which an unanswered ping
 * ends one.
 */
interface Idle {
  readonly ours: RunningServer;
  readonly goAgent: Program;
  readonly theirs: GoServer;
  readonly connected: number;
  readonly past: Promise<void>;
}

const stage = perFile();
let idle: Idle;

beforeAll(async () => {
  if (!haveGo) return;
  const service = await Service.start(stage);
  const ours = await startServer(stage);
  const goAgent = await startGoAgent(stage, ours.upstream, "web", service.addr);
  const theirs = await startGoServer(stage);
  await startAgent(stage, theirs.upstream, "web", service.addr);
  idle = { ours, goAgent, theirs, connected: theirs.program.lines.length, past: delay(43_000) };
}, 300_000);

/** A timeout that is longer than any test, so that only the client's departure can end a request. */
const PATIENT = "10m";

/** Checks that every pairing of server and HTTP agent must pass. */
async function exerciseHttp(proxy: string, service: Service): Promise<void> {
  const client = await RawClient.connect(scene, proxy);
  client.send(get("/item?i=a") + get("/item?i=b"));
  expect((await client.response()).body.toString()).toBe("item a");
  expect((await client.response()).body.toString()).toBe("item b");

  const [host, port] = proxy.split(":");
  const ask = (path: string, body?: Readable): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = { host: "web.test" };
      const asking = request(
        { host, port, path, method: body ? "POST" : "GET", headers, agent: false },
        resolve,
      );
      asking.on("error", reject);
      if (body === undefined) asking.end();
      else body.pipe(asking);
    });
  const check = async (answer: IncomingMessage, bytes: number): Promise<void> => {
    const checker = new PatternChecker();
    for await (const piece of answer) checker.update(piece as Buffer);
    checker.assertComplete(bytes);
  };
  const size = 30 * MIB + 7;
  await check(await ask(`/bytes?n=${size}`), size);
  await check(await ask("/echo", Readable.from(new PatternSource(size))), size);
  const many = Array.from({ length: 100 }, (_, i) => i * 1_009);
  await Promise.all(many.map(async (bytes) => check(await ask(`/bytes?n=${bytes}&chunked`), bytes)));

  const events = await RawClient.connect(scene, proxy);
  events.send(get("/events?count=3&ms=50"));
  expect((await events.response()).body.toString().match(/data: /g)).toHaveLength(3);

  const upgraded = await RawClient.connect(scene, proxy);
  upgraded.send(get("/up?echo", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  expect((await upgraded.response()).status).toBe(101);
  upgraded.send("over and out");
  expect((await upgraded.take(12)).toString()).toBe("over and out");
  upgraded.socket.destroy();

  const leaving = await RawClient.connect(scene, proxy);
  leaving.send(get("/hang"));
  const { aborted } = await service.request("/hang");
  leaving.socket.destroy();
  await within(aborted, "end at the service");
}

describe.runIf(haveGo)("a Go agent", () => {
  it("serves HTTP through our server", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, { "proxy.timeout": PATIENT });
    const agent = await startGoAgent(scene, server.upstream, "web", service.addr);
    await exerciseHttp(server.proxy, service);
    expect(complaints(agent)).toEqual([]);
  });

  it("serves TCP through our server: 64 MiB back and forth", async () => {
    const { addr } = await startEchoService(scene);
    const server = await startServer(scene);
    const agent = await startGoAgent(scene, server.upstream, "tcp", addr, ["--mode", "tcp"]);
    await goEchoCheck(server.proxy, "tcp", 64 * MIB);
    const forward = await startForward(scene, server.proxy, "tcp");
    const client = await RawClient.connect(scene, forward.addr);
    client.send("through our forwarder");
    expect((await client.take(21)).toString()).toBe("through our forwarder");
    expect(complaints(agent)).toEqual([]);
  });

  it("that is draining finishes its requests and gets no new ones", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene);
    const agent = await startGoAgent(scene, server.upstream, "web", service.addr);
    await startGoAgent(scene, server.upstream, "web", service.addr);
    const slow = await Promise.all(
      Array.from({ length: 6 }, async (_, i) => {
        const client = await RawClient.connect(scene, server.proxy);
        client.send(get(`/slow?body=500&i=${i}`));
        await service.request(`/slow?body=500&i=${i}`);
        return client;
      }),
    );
    agent.signal("SIGTERM");
    await agent.waitFor("draining");
    const statuses: number[] = [];
    for (let i = 0; i < 20; i++) statuses.push(await status(server.proxy));
    expect(statuses).toEqual(Array.from({ length: 20 }, () => 200));
    for (const client of slow) expect((await client.response()).body.toString()).toBe("ok");
    expect((await agent.exited).code).toBe(0);
  });

  it("outlives our server and connects to the next one on the same port", async () => {
    const service = await Service.start(scene);
    const first = await startServer(scene);
    const agent = await startGoAgent(scene, first.upstream, "web", service.addr);
    const from = agent.lines.length;
    await first.program.stop();
    // If the connection just ended, the Go agent's process would end too: the server must send GoAway(2) first.
    const { fields } = await agent.waitFor("disconnected", { from });
    expect(fields).toMatchObject({ final: false, reason: "remote yamux internal error" });
    const second = await startServer(scene, { "upstream.bind-addr": first.upstream });
    await serves(second.proxy);
  });
});

describe.runIf(haveGo)("a Go dialer", () => {
  it("reaches our TCP agent through our server: 64 MiB back and forth", async () => {
    const { addr } = await startEchoService(scene);
    const server = await startServer(scene);
    await startAgent(scene, server.upstream, "tcp", addr, { mode: "tcp" });
    await goEchoCheck(server.proxy, "tcp", 64 * MIB);
    const client = await RawClient.connect(scene, await startGoForward(scene, server.proxy, "tcp"));
    client.send("through the Go forwarder");
    expect((await client.take(24)).toString()).toBe("through the Go forwarder");
  });

  it("gets an error from our server when no agent listens", async () => {
    const server = await startServer(scene);
    await expect(goEchoCheck(server.proxy, "nobody", 1)).rejects.toThrow("502: no available upstreams");
  });
});

describe.runIf(haveGo)("a Go server", () => {
  it("works with our HTTP agent", async () => {
    const service = await Service.start(scene);
    const server = await startGoServer(scene);
    await startAgent(scene, server.upstream, "web", service.addr, { flags: ["--timeout", PATIENT] });
    await exerciseHttp(server.proxy, service);
    expect(complaints(server.program)).toEqual([]);
  });

  it("works with our TCP agent and our forwarder: 64 MiB back and forth", async () => {
    const { addr } = await startEchoService(scene);
    const server = await startGoServer(scene);
    await startAgent(scene, server.upstream, "tcp", addr, { mode: "tcp" });
    await goEchoCheck(server.proxy, "tcp", 64 * MIB);
    const forward = await startForward(scene, server.proxy, "tcp");
    const client = await RawClient.connect(scene, forward.addr);
    client.send("through our forwarder");
    expect((await client.take(21)).toString()).toBe("through our forwarder");
    expect(complaints(server.program)).toEqual([]);
  });

  it("gets from our agent the upgrade request that a Go agent would send, plus our capabilities", async () => {
    const service = await Service.start(scene);
    const server = await startGoServer(scene);
    await startAgent(scene, server.upstream, "web", service.addr);
    const [{ headers } = { headers: {} as Record<string, string[]> }] = await server.tunnels();
    expect(headers["Sec-Websocket-Version"]).toEqual(["13"]);
    for (const absent of ["Origin", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol", "Authorization"]) {
      expect(headers[absent]).toBeUndefined();
    }
    expect(headers["X-Piko-Capabilities"]).toEqual(["drain"]);
  });

  it("that requires a token gets it, and an agent with a wrong one exits", async () => {
    const service = await Service.start(scene);
    const server = await startGoServer(scene, ["--token", "secret"]);
    const flags = ["--connect.token", "secret"];
    await startAgent(scene, server.upstream, "web", service.addr, { flags });
    expect(await status(server.proxy)).toBe(200);
    const wrong = await startAgent(scene, server.upstream, "web", service.addr, {
      flags: ["--connect.token", "wrong"],
      wait: false,
    });
    expect((await wrong.exited).code).toBe(1);
    expect(wrong.tail()).toContain("invalid token");
    expect(wrong.tail()).not.toContain('wrong"');
  });

  describe("that ends a tunnel", () => {
    const stage = perFile();
    let server: GoServer;
    let agent: Program;

    beforeAll(async () => {
      const service = await Service.start(stage);
      server = await startGoServer(stage);
      agent = await startAgent(stage, server.upstream, "web", service.addr);
    });

    it.each([
      "fin",
      "rst",
      "close",
      "goaway1",
      "goaway2",
      "text",
      "reserved-bits",
      "masked",
      "bad-version",
      "bad-type",
      "cut-frame",
    ])("by %s gets a new one", async (how) => {
      expect(await status(server.proxy)).toBe(200);
      const from = server.program.lines.length;
      await server.end("web", how);
      await server.program.waitFor("connected", { from });
      await serves(server.proxy);
      expect(agent.exit).toBeUndefined();
    });
  });

  it("that sends GoAway(0) is still served", async () => {
    const service = await Service.start(scene);
    const server = await startGoServer(scene);
    await startAgent(scene, server.upstream, "web", service.addr);
    await server.end("web", "goaway0");
    await serves(server.proxy);
  });

  it("loses no request when our agent drains", async () => {
    const service = await Service.start(scene);
    const server = await startGoServer(scene);
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/slow?body=500"));
    await service.request("/slow");
    agent.signal("SIGTERM");
    expect((await client.response()).body.toString()).toBe("ok");
    expect((await agent.exited).code).toBe(0);
  });

  it("announces an endpoint until our last agent leaves, even if requests arrive while the others stop", async () => {
    const service = await Service.start(scene);
    const server = await startGoServer(scene);
    await startAgent(scene, server.upstream, "web", service.addr);
    const leaving = await Promise.all(
      Array.from({ length: 4 }, () => startAgent(scene, server.upstream, "web", service.addr)),
    );
    expect(await server.listeners()).toEqual({ web: 5 });
    const seen = new Map<number, number>();
    const stop = new AbortController();
    scene.defer(() => stop.abort());
    const clients = Array.from({ length: 4 }, async () => {
      while (!stop.signal.aborted) {
        const answer = await status(server.proxy, "/slow?body=20").catch(() => 0);
        seen.set(answer, (seen.get(answer) ?? 0) + 1);
      }
    });
    for (const agent of leaving) {
      agent.signal("SIGTERM");
      expect((await agent.exited).code).toBe(0);
    }
    await eventually(async () => (await server.tunnels()).length === 1, "one tunnel left");
    stop.abort();
    await Promise.all(clients);
    expect(await server.listeners()).toEqual({ web: 1 });
    // A stream that the node opens while the agent's FIN is on its way is lost; nothing in the protocol could prevent that.
    // These are fewer than with a GoAway, which would cost one request each.
    const lost = [...seen].filter(([answer]) => answer !== 200);
    expect(lost.reduce((sum, [, count]) => sum + count, 0)).toBeLessThan(leaving.length);
    expect(seen.get(200)).toBeGreaterThan(leaving.length);
  });
});

// Comes last, so that its waiting time overlaps the other tests.
describe.runIf(haveGo)("keepalive", () => {
  it("keeps tunnels open in both pairings beyond the time at which an unanswered ping would end them", async () => {
    const { ours, goAgent, theirs, connected, past } = idle;
    await past;
    expect(goAgent.lines.filter(({ fields }) => fields["event"] === "disconnected")).toEqual([]);
    expect(theirs.program.lines.length).toBe(connected);
    expect(await status(ours.proxy)).toBe(200);
    expect(await status(theirs.proxy)).toBe(200);
  });
});
