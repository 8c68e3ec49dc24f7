// What happens when a part disappears: clients, services, agents, servers. Nothing hangs, and no process is lost.

import { connect } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { asking, get } from "../harness/asking.js";
import { eventually, within } from "../harness/deadline.js";
import { MemoryWatch } from "../harness/memory.js";
import { type RunningServer, startAgent, startServer, startTunnel } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService, startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";

const scene = perTest();

/** Settings of a server that waits only briefly for a lost agent to return. */
const IMPATIENT = { "proxy.reconnect-wait": "200ms" };
const { ask, untilStatus } = asking(scene);

describe("a client that leaves", () => {
  const stage = perFile();
  let service: Service;
  let server: RunningServer;

  beforeAll(async () => {
    service = await Service.start(stage);
    // Timeouts longer than any test, so that only the client's departure can end a request.
    const limits = ["timeout", "http.read-timeout", "http.write-timeout"].map((limit) => [
      `proxy.${limit}`,
      "10m",
    ]);
    server = await startServer(stage, Object.fromEntries(limits) as Record<string, string>);
    await startAgent(stage, server.upstream, "web", service.addr, { flags: ["--timeout", "10m"] });
  });

  it.each([
    ["while it waits for a head", get("/hang?wait"), 0],
    ["while it waits for a body", get("/hang?head"), 50],
    ["in the middle of a download", get("/bytes?n=1000000000"), 100_000],
    ["in the middle of an event stream", get("/events?count=1000000&ms=20"), 100],
    [
      "in the middle of an upload",
      "POST /sum HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1000\r\n\r\nhalf",
      0,
    ],
  ])("%s ends its request at the service", async (_when, request, bytes) => {
    const client = await RawClient.connect(scene, server.proxy);
    client.send(request);
    const { aborted } = await service.request(request.split(" ")[1] ?? "");
    await client.take(bytes);
    client.socket.destroy();
    await within(aborted, "end at the service");
    expect((await ask(server.proxy)).status).toBe(200);
  });
});

describe("a service that stops", () => {
  it("gives its clients 502, and is served again when it is back", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    expect((await ask(server.proxy)).status).toBe(200);
    await service.stop();
    const refused = await ask(server.proxy);
    expect(refused.status).toBe(502);
    expect(JSON.parse(refused.body.toString())).toEqual({
      error: "upstream unreachable",
      endpoint: "web",
      reason: "connect_refused",
    });
    await Service.start(scene, service.port);
    expect((await ask(server.proxy)).status).toBe(200);
  });

  it("during a request ends that request with 502", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/hang"));
    await service.request("/hang");
    await service.stop();
    expect((await client.response()).status).toBe(502);
  });

  it("between two requests on a persistent connection costs neither of them", async () => {
    // The service closes its idle connection just when the agent may be about to reuse it.
    const service = await startCannedService(scene, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true);
    const { server } = await startTunnel(scene, service.addr);
    for (let i = 0; i < 50; i++) expect((await ask(server.proxy)).status).toBe(200);
  });
});

describe("a service that answers with", () => {
  const stage = perFile();
  let answer = "";
  let proxy = "";

  beforeAll(async () => {
    const service = await startRawService(stage, (socket) => {
      socket.once("data", () => socket.end(Buffer.from(answer, "latin1")));
    });
    ({ proxy } = (await startTunnel(stage, service.addr)).server);
  });

  it.each([
    ["garbage", "this is not HTTP\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
    [
      "a length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["a field with a bare line feed", "HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"],
    ["an interim response only", "HTTP/1.1 103 Early Hints\r\n\r\n"],
    ["nothing", ""],
  ])("%s gives its client a 502", async (_what, text) => {
    answer = text;
    const client = await RawClient.connect(scene, proxy);
    client.send(get("/"));
    let response = await client.response();
    if (response.status === 103) response = await client.response();
    expect(response.status).toBe(502);
  });
});

describe("a service that never sends its response", () => {
  it("is given up, however many interim responses it sends, and doesn't use up memory", async () => {
    const interim = Buffer.from("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(500), "latin1");
    const ended: Promise<void>[] = [];
    const service = await startRawService(scene, (socket) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(interim));
      };
      // At its start, the agent checks whether the service is up, with a connection that carries no request.
      socket.on("drain", more).once("data", () => {
        ended.push(new Promise((resolve) => void socket.once("close", () => resolve())));
        more();
      });
    });
    const server = await startServer(scene);
    const agent = await startAgent(scene, server.upstream, "web", service.addr, {
      flags: ["--timeout", "1s"],
    });
    const watch = new MemoryWatch([server.program, agent]);
    const deaf = await RawClient.connect(scene, server.proxy);
    deaf.socket.pause();
    const listening = await RawClient.connect(scene, server.proxy);
    let last = "";
    listening.socket.removeAllListeners("data").on("data", (piece: Buffer) => {
      last = (last + piece.toString("latin1")).slice(-300);
    });
    for (const client of [deaf, listening]) client.send(get("/"));
    await eventually(() => last.includes("HTTP/1.1 504 "), "504 after the interim responses");
    await eventually(() => ended.length === 2, "both requests at the service");
    await Promise.all(ended);
    for (const peak of await watch.stop()) expect(peak).toBeLessThan(150);
  });
});

describe("an agent that stops", () => {
  it("by SIGKILL gives its clients 502 without a delay, and is served again when it is back", async () => {
    const service = await Service.start(scene);
    const { server, agent } = await startTunnel(scene, service.addr, IMPATIENT);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/hang"));
    await service.request("/hang");
    await agent.kill();
    expect((await client.response()).status).toBe(502);
    const refused = await ask(server.proxy);
    expect(refused.status).toBe(502);
    expect(JSON.parse(refused.body.toString())).toEqual({
      error: "no available upstreams",
      endpoint: "web",
      reason: "no_upstream",
    });
    await startAgent(scene, server.upstream, "web", service.addr);
    expect((await ask(server.proxy)).status).toBe(200);
  });

  it("by SIGKILL leaves the requests to the endpoint's other agent", async () => {
    const service = await Service.start(scene);
    const { server, agent } = await startTunnel(scene, service.addr);
    await startAgent(scene, server.upstream, "web", service.addr);
    await agent.kill();
    const statuses: number[] = [];
    for (let i = 0; i < 20; i++) statuses.push((await ask(server.proxy)).status);
    // The server may notice the dead agent only by the first request to it.
    expect(statuses.filter((status) => status !== 200).length).toBeLessThan(2);
    expect(statuses.at(-1)).toBe(200);
  });

  it("by SIGTERM finishes its requests, gets no new ones, and exits with 0", async () => {
    const service = await Service.start(scene);
    const { server, agent } = await startTunnel(scene, service.addr, IMPATIENT);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/slow?body=2000"));
    await service.request("/slow");
    agent.signal("SIGTERM");
    await untilStatus(server.proxy, 502);
    expect((await client.response()).body.toString()).toBe("ok");
    await agent.stopped();
  });

  it("in the middle of a response ends it visibly", async () => {
    const service = await Service.start(scene);
    const { server, agent } = await startTunnel(scene, service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/events?count=1000&ms=10"));
    await client.take(300);
    await agent.kill();
    expect((await client.rest()).toString()).not.toMatch(/0\r\n\r\n$/);
  });
});

describe("a tunnel that is refused", () => {
  it("permanently ends the agent with code 1 and the reason", async () => {
    const refusing = await startCannedService(
      scene,
      'HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"error":"invalid token"}',
    );
    const agent = await startAgent(scene, refusing.addr, "web", "127.0.0.1:1", { wait: false });
    expect((await agent.exited).code).toBe(1);
    expect(agent.tail()).toContain("invalid token");
  });

  it("temporarily is tried again", async () => {
    let refusals = 0;
    const server = await startServer(scene);
    const service = await Service.start(scene);
    const front = await startRawService(scene, (socket) => {
      if (refusals++ < 3) {
        socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      const [host = "", port] = server.upstream.split(":");
      const upstream = connect({ host, port: Number(port) });
      upstream.on("error", () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    // With a second tunnel, the agent would make more requests at once.
    await startAgent(scene, front.addr, "web", service.addr, { flags: ["--connect.tunnels", "1"] });
    expect(refusals).toBe(4);
    expect((await ask(server.proxy)).status).toBe(200);
  });
});

describe("an agent that stands still", () => {
  it("gives its clients 504 in time, and serves again when it continues", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, { "proxy.timeout": "500ms" });
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    agent.signal("SIGSTOP");
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => (await ask(server.proxy)).status),
    );
    expect(new Set(statuses)).toEqual(new Set([504]));
    agent.signal("SIGCONT");
    await untilStatus(server.proxy, 200);
  });
});
