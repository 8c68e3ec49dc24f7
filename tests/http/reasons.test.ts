// For each reason for which a request can fail: a request that fails for it, with the reason in the answer, in the access log
// and in the metric.

import { connect as connectHttp2 } from "node:http2";
import { beforeAll, describe, expect, it } from "vitest";
import { asking, get } from "../harness/asking.js";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { eventually, within } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService, startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { ALL_REASONS, type ReasonCode } from "../../packages/piko/src/http/reasons.js";

const scene = perTest();
const { ask } = asking(scene);
const seen = new Set<ReasonCode>();

const IMPATIENT = { "proxy.reconnect-wait": "200ms" };

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** Expects the reason in the node's access log, with this status, and in its metrics. */
async function expectLogged(server: RunningServer, reason: ReasonCode, status: number): Promise<void> {
  const line = await server.program.waitForLine(
    ({ fields }) => fields["msg"] === "request" && fields["reason"] === reason,
    `a request with the reason ${reason}`,
  );
  expect(line.fields["request"]).toMatchObject({ status });
  const series = `piko_proxy_failed_requests_total{reason="${reason}"}`;
  expect(await metric(server.admin, series)).toBeGreaterThan(0);
  seen.add(reason);
}

/** Expects the same, and the reason in the answer as well. */
async function expectReason(
  server: RunningServer,
  reason: ReasonCode,
  answer: Answer,
  endpoint = "web",
): Promise<void> {
  const body = JSON.parse(answer.body.toString()) as Record<string, string>;
  expect(body).toEqual({
    error: expect.any(String),
    ...(endpoint === "" ? {} : { endpoint }),
    reason,
  });
  await expectLogged(server, reason, answer.status);
}

async function send(server: RunningServer, text: string): Promise<Answer> {
  const client = await RawClient.connect(scene, server.proxy);
  client.send(text);
  return client.response();
}

const chunked = (body: string): string =>
  `POST /sum HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;

describe("a request that fails because its client", () => {
  const stage = perFile();
  let server: RunningServer;
  let service: Service;

  beforeAll(async () => {
    service = await Service.start(stage);
    server = await startServer(stage, {
      "proxy.limits.max-body-bytes": "1000",
      "proxy.http.read-timeout": "1s",
      "proxy.http.write-timeout": "1s",
    });
    await startAgent(stage, server.upstream, "web", service.addr);
  });

  it("sends a malformed body", async () => {
    await expectReason(server, "bad_request", await send(server, chunked("x\r\n")));
  });

  it("sends a body that is too large", async () => {
    const head = "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1001\r\n\r\n";
    await expectReason(server, "too_large", await send(server, head));
  });

  it("stops sending its body", async () => {
    await expectReason(server, "request_timeout", await send(server, chunked("5\r\nhel")));
  });

  it("names no endpoint", async () => {
    const answer = await send(server, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await expectReason(server, "no_endpoint", answer, "");
  });

  it("requests a path that doesn't exist", async () => {
    const answer = await send(server, "GET /_piko/nothing HTTP/1.1\r\nHost: web.test\r\n\r\n");
    await expectReason(server, "not_found", answer, "");
  });

  it("is a page of another origin", async () => {
    const upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nOrigin: http://other.test";
    const head = `GET /_piko/v1/tcp/web HTTP/1.1\r\nHost: web.test\r\n${upgrade}\r\n\r\n`;
    await expectReason(server, "forbidden", await send(server, head), "");
  });

  it("disconnects", async () => {
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/hang"));
    await service.request("/hang");
    client.socket.destroy();
    await expectLogged(server, "client_gone", 499);
  });

  it("doesn't read the response", async () => {
    const client = await RawClient.connect(scene, server.proxy);
    client.socket.pause();
    client.send(get("/bytes?n=100000000"));
    await expectLogged(server, "client_stuck", 200);
  });

  it("set a deadline that has passed", async () => {
    const session = connectHttp2(`http://${server.proxy}`);
    scene.defer(() => session.destroy());
    const request = session.request({
      ":method": "POST",
      ":path": "/hang",
      "x-piko-endpoint": "web",
      "content-type": "application/grpc",
      "grpc-timeout": "300m",
    });
    const heads = await within(
      new Promise<Record<string, unknown>>((resolve) => void request.on("response", resolve)),
      "answer",
    );
    expect(heads).toMatchObject({ "grpc-status": "4", "x-piko-reason": "deadline" });
    await expectLogged(server, "deadline", 504);
  });
});

describe("a request that the node refuses", () => {
  it("because it has no token, with Go's message", async () => {
    const server = await startServer(scene, {
      "proxy.auth.hmac-secret-key": "not-a-secret-of-anybody-at-all-123",
    });
    const answer = await send(server, get("/"));
    expect([answer.status, answer.body.toString()]).toEqual([401, '{"error":"missing authorization"}']);
    await expectLogged(server, "unauthorized", 401);
  });

  it("because the keys can't be fetched", async () => {
    const server = await startServer(scene, { "proxy.auth.jwks.endpoint": "http://127.0.0.1:1/keys" });
    const bearer = "Authorization: Bearer e30.e30.e30";
    const answer = await send(server, `GET / HTTP/1.1\r\nHost: web.test\r\n${bearer}\r\n\r\n`);
    await expectReason(server, "auth_unready", answer, "");
  });

  it("because there are too many", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, { "proxy.limits.max-requests-per-endpoint": "1" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/hang"));
    await service.request("/hang");
    await expectReason(server, "limit", await ask(server.proxy));
  });

  it("in the end, because the node stops", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, { "grace-period": "1s" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/hang"));
    await service.request("/hang");
    server.program.signal("SIGTERM");
    const line = await server.program.waitForLine(
      ({ fields }) => fields["reason"] === "shutdown",
      "a request that was cut",
    );
    expect(line.fields["request"]).toMatchObject({ status: 499, path: "/hang" });
    seen.add("shutdown");
  });
});

describe("a service that", () => {
  const stage = perFile();
  let server: RunningServer;

  beforeAll(async () => {
    server = await startServer(stage, IMPATIENT);
  });

  const agentOf = (endpoint: string, addr: string, flags: readonly string[] = []) =>
    startAgent(scene, server.upstream, endpoint, addr, { flags });

  /** Expects that the agent reports the reason to its node, and that both logs contain it. */
  async function expectFrom(endpoint: string, reason: ReasonCode, addr: string, flags: string[] = []) {
    const agent = await agentOf(endpoint, addr, flags);
    const answer = await send(server, `GET /hang HTTP/1.1\r\nHost: ${endpoint}.test\r\n\r\n`);
    await expectReason(server, reason, answer, endpoint);
    const line = await agent.waitFor("request");
    expect(line.fields).toMatchObject({ "endpoint-id": endpoint, reason });
    return answer;
  }

  it("isn't running", async () => {
    expect((await expectFrom("refused", "connect_refused", "127.0.0.1:1")).status).toBe(502);
  });

  it("accepts no connection", async () => {
    // It never accepts; connections that its queue has no room for get no answer.
    const code =
      "import socket,time\ns=socket.socket()\ns.bind(('127.0.0.1',0))\ns.listen(0)\nprint(s.getsockname()[1],flush=True)\ntime.sleep(600)";
    const deaf = startProgram(scene, "deaf", "python3", ["-c", code]);
    const { text } = await deaf.waitForLine(({ text: line }) => /^\d+$/.test(line), "its port");
    const addr = `127.0.0.1:${text}`;
    const fillers = [1, 2, 3].map(() => RawClient.connect(scene, addr).catch(() => undefined));
    await fillers[0];
    expect((await expectFrom("deaf", "connect_timeout", addr, ["--timeout", "1s"])).status).toBe(504);
  });

  it("doesn't use TLS", async () => {
    const service = await startRawService(scene, (socket) => {
      socket.once("data", () => socket.end("no TLS\r\n"));
    });
    await expectFrom("plain", "connect_failed", `https://${service.addr}`);
  });

  it.each<[string, ReasonCode, string]>([
    ["closes without an answer", "lost", ""],
    ["answers nonsense", "bad_response", "this is not HTTP\r\n\r\n"],
    ["sends too large a head", "head_too_large", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(2_000_000)}\r\n\r\n`],
    [
      "switches without being asked",
      "bad_switch",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
  ])("%s", async (_what, reason, text) => {
    const service = await startRawService(scene, (socket) => {
      socket.once("data", () => socket.end(Buffer.from(text, "latin1")));
    });
    await expectFrom(reason.replaceAll("_", "-"), reason, service.addr);
  });

  it("resets the connection", async () => {
    const service = await startRawService(scene, (socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    await expectFrom("reset", "reset", service.addr);
  });

  it("answers too late", async () => {
    const service = await Service.start(scene);
    expect((await expectFrom("late", "timeout", service.addr, ["--timeout", "1s"])).status).toBe(504);
  });

  it("ends in the middle of its response", async () => {
    const service = await startCannedService(scene, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    const agent = await agentOf("half", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("GET / HTTP/1.1\r\nHost: half.test\r\n\r\n");
    const { fields } = await agent.waitFor("request");
    expect(fields).toMatchObject({ level: "warn", reason: "cut" });
    const line = await server.program.waitForLine(
      ({ fields: { request } }) => (request as { host?: string } | undefined)?.host === "half.test",
      "its line",
    );
    // The node sees only the agent's reset.
    expect(line.fields).toMatchObject({ level: "warn", reason: "reset", request: { status: 200 } });
    seen.add("cut");
  });

  it("has no agent", async () => {
    const answer = await send(server, "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
    await expectReason(server, "no_upstream", answer, "nobody");
  });

  it("answers with an error of its own has no reason, even if a field of the answer names one", async () => {
    const head = "HTTP/1.1 502 Bad Gateway\r\nx-piko-reason: no_upstream\r\nContent-Length: 2\r\n\r\nno";
    const service = await startCannedService(scene, head);
    const agent = await agentOf("own", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("GET / HTTP/1.1\r\nHost: own.test\r\n\r\n");
    const answer = await client.response();
    expect([answer.status, answer.body.toString()]).toEqual([502, "no"]);
    const line = await server.program.waitForLine(
      ({ fields: { request } }) => (request as { host?: string } | undefined)?.host === "own.test",
      "its line",
    );
    for (const { fields } of [line, await agent.waitFor("request")]) {
      expect(fields).not.toHaveProperty("reason");
    }
  });
});

describe("a connection to the service that breaks", () => {
  it("at the agent", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, IMPATIENT);
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("POST /hang HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n");
    await service.request("/hang");
    await agent.kill();
    await expectReason(server, "tunnel_lost", await client.response());
  });

  it("between nodes", async () => {
    const service = await Service.start(scene);
    const [a, b] = await startCluster(scene, ["a", "b"], IMPATIENT);
    await startAgent(scene, b.upstream, "web", service.addr, { flags: ["--connect.tunnels", "1"] });
    await untilEndpoints(a, "b", 1);
    await b.program.kill();
    const answer = await eventually(async () => {
      const one = await ask(a.proxy);
      return one.status === 502 && one;
    }, "502");
    await expectReason(a, "node_unreachable", answer);
  });
});

it("there are no other reasons", () => {
  // Reasons of a single attempt: the request goes to a better upstream, or back to other tunnels of the agent.
  const triesOnly: readonly ReasonCode[] = ["silent", "refused"];
  const inside = ALL_REASONS.filter(({ side }) => side === "internal").map(({ code }) => code);
  const missing = ALL_REASONS.map(({ code }) => code).filter((code) => !seen.has(code));
  expect(missing.filter((code) => !triesOnly.includes(code) && !inside.includes(code))).toEqual([]);
});
