// What the access logs of server and agent contain about a request, and what they never contain; and what an error answer
// adds to the metrics.

import { readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { adminJson, startCluster, untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { runPiko, startAgent, startForward, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService, startEchoService } from "../harness/raw-service.js";
import { secret } from "../harness/secrets.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const scene = perTest();
secret("hunter2");

/** Fields in which services and clients send values that no one else should know. */
const SECRET_FIELDS = [
  "Authorization: Bearer hunter2",
  "Proxy-Authorization: Basic hunter2",
  "Cookie: session=hunter2",
  "X-Api-Key: hunter2",
  "X-Auth-Token: hunter2",
  "X-Goog-Iap-Jwt-Assertion: hunter2",
  "Api-Key: hunter2",
  "X-Hub-Signature-256: sha256=hunter2",
  "Referer: http://web.test/?token=hunter2",
  "Sec-WebSocket-Protocol: bearer.hunter2",
  "Sec-WebSocket-Key: hunter2",
  "X-Session: a-session",
].join("\r\n");
const REQUEST = `GET /path?token=hunter2 HTTP/1.1\r\nHost: web.test\r\nUser-Agent: test\r\nTe: trailers\r\n${SECRET_FIELDS}\r\n\r\n`;
const ANSWER = [
  "HTTP/1.1 200 OK",
  "Content-Length: 2",
  "Content-Type: text/plain",
  "Connection: close",
  "Keep-Alive: timeout=5",
  "Upgrade: h2c",
  "Set-Cookie: session=hunter2",
  "Location: http://web.test/?token=hunter2",
  "X-Api-Key: hunter2\r\n\r\nok",
].join("\r\n");

interface Logged {
  readonly request_headers: Readonly<Record<string, string[]>>;
  readonly response_headers: Readonly<Record<string, string[]>>;
}

async function requestLine(program: Program): Promise<Logged> {
  return (await program.waitFor("request")).fields["request"] as Logged;
}

describe("a request that is full of credentials", () => {
  it("leaves none of them in the logs of server and agent", async () => {
    const server = await startServer(scene);
    const service = await startCannedService(scene, ANSWER);
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(REQUEST);
    expect((await client.response()).body.toString()).toBe("ok");
    for (const program of [server.program, agent]) {
      const { request_headers: sent, response_headers: received } = await requestLine(program);
      expect(sent).toMatchObject({ "User-Agent": ["test"], Authorization: ["[redacted]"] });
      expect(sent).toMatchObject({ Cookie: ["[redacted]"] });
      expect(received).toEqual({
        "Content-Length": ["2"],
        "Content-Type": ["text/plain"],
        "Set-Cookie": ["[redacted]"],
      });
      expect(program.lines.map(({ text }) => text).join("\n")).not.toContain("hunter2");
    }
    expect((await requestLine(server.program)).request_headers).toMatchObject({ Te: ["trailers"] });
  });

  it("shows the fields that the configuration allows, but never secrets", async () => {
    const server = await startServer(scene, {
      "proxy.access-log.request-headers.allow-list": "x-api-key,x-session,cookie",
      "proxy.access-log.response-headers.block-list": "content-length,set-cookie",
    });
    const service = await startCannedService(scene, ANSWER);
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(REQUEST);
    await client.response();
    expect(await requestLine(server.program)).toMatchObject({
      request_headers: { "X-Api-Key": ["[redacted]"], "X-Session": ["a-session"], Cookie: ["[redacted]"] },
    });
    expect((await requestLine(server.program)).response_headers).toEqual({ "Content-Type": ["text/plain"] });
  });
});

describe("a line", () => {
  it("names the nodes and the agent that served the request, with an id that proxy, nodes, agent and service share", async () => {
    const service = await Service.start(scene);
    const [a, b] = await startCluster(scene, ["a", "b"], { "proxy.trusted-proxies": "127.0.0.0/8" });
    const flags = ["--connect.tunnels", "1"];
    const agent = await startAgent(scene, b.upstream, "web", service.addr, { flags });
    await untilEndpoints(a, "b", 1);
    const answer = await fetch(`http://${a.proxy}/echo`, {
      method: "POST",
      body: "hello",
      headers: { "x-piko-endpoint": "web", "x-request-id": "from-outside" },
    });
    expect(await answer.text()).toBe("hello");
    const shared = {
      tries: 1,
      "request-id": "from-outside",
      "endpoint-id": "web",
      "bytes-in": 5,
      "bytes-out": 5,
    };
    const lineOf = async (program: Program) => (await program.waitFor("request")).fields;
    const first = await lineOf(a.program);
    expect(first).toMatchObject({ ...shared, "node-id": "a", hop: "b" });
    expect(first).not.toHaveProperty("agent");
    const second = await lineOf(b.program);
    const [listed] = await adminJson<{ agent: string }[]>(b, "/status/upstream/agents");
    expect(second).toMatchObject({ ...shared, "node-id": "b", "agent-addr": "127.0.0.1" });
    expect(second["agent"]).toBe(listed?.agent);
    expect(second).not.toHaveProperty("hop");
    const third = await lineOf(agent);
    expect(third).toMatchObject({ ...shared, "node-id": "b" });
    for (const line of [first, second, third]) {
      expect(line).not.toHaveProperty("reason");
      const { "duration-ms": all, "head-ms": head } = line as Record<string, number>;
      expect(head).toBeGreaterThan(0);
      expect(all).toBeGreaterThanOrEqual(head ?? Number.NaN);
    }
    expect((await service.request("/echo")).headers["x-request-id"]).toBe("from-outside");
  });

  it("has an id made by the node if the client isn't trusted, and the service receives that id", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene);
    await startAgent(scene, server.upstream, "web", service.addr);
    const headers = { "x-piko-endpoint": "web", "x-request-id": "mine" };
    await fetch(`http://${server.proxy}/item`, { headers });
    const { fields } = await server.program.waitFor("request");
    expect(fields["request-id"]).toMatch(/^[0-9a-f]{20}$/);
    expect(
      (await service.request("/item")).rawHeaders.filter((_, at, all) =>
        /^x-request-id$/i.test(all[at - 1] ?? ""),
      ),
    ).toEqual([fields["request-id"]]);
  });
});

describe("a log with a file of its own", () => {
  it("continues in a new file after SIGHUP, and each request is in exactly one file", async () => {
    const directory = await scene.directory();
    const path = join(directory, "access.log");
    const service = await Service.start(scene);
    const server = await startServer(scene, {
      "proxy.access-log.path": path,
      "proxy.access-log.format": "logfmt",
    });
    await startAgent(scene, server.upstream, "web", service.addr);
    const traffic = Traffic.start(scene, server.proxy, "web", { get: 200, post: 100 });
    for (let turn = 1; turn <= 5; turn++) {
      const before = traffic.count("get");
      await eventually(() => traffic.count("get") > before + 20, "requests");
      renameSync(path, `${path}.${turn}`);
      const from = server.program.lines.length;
      server.program.signal("SIGHUP");
      const { fields } = await server.program.waitFor("log files opened again", { from });
      expect(fields["paths"]).toEqual([path]);
    }
    const { failures } = await traffic.stop();
    expect(failures).toEqual([]);
    const total = traffic.count("get") + traffic.count("post");
    await server.program.stop();
    const files = readdirSync(directory).filter((name) => name.startsWith("access.log"));
    expect(files).toHaveLength(6);
    const lines = files
      .flatMap((name) => readFileSync(join(directory, name), "utf8").split("\n"))
      .filter((line) => line !== "");
    expect(
      lines.filter(
        (line) => !/^level=info ts=\S+ subsystem=proxy.access msg=request .* status=200 /.test(line),
      ),
    ).toEqual([]);
    expect(lines).toHaveLength(total);
    expect(server.program.lines.filter(({ fields }) => fields["msg"] === "request")).toEqual([]);
  });

  it("stops the start if its file can't be created", async () => {
    const flags = ["server", "--proxy.access-log.path", "/nonexistent/access.log"];
    const result = await runPiko(
      ...flags,
      "--proxy.bind-addr",
      "127.0.0.1:0",
      "--upstream.bind-addr",
      "127.0.0.1:0",
      "--admin.bind-addr",
      "127.0.0.1:0",
      "--cluster.gossip.bind-addr",
      "127.0.0.1:0",
    );
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("/nonexistent/access.log");
  });
});

describe("an answer that isn't the service's", () => {
  it("counts the bytes of its body, as in Go", async () => {
    const server = await startServer(scene);
    const flags = ["--server.enabled", "--server.bind-addr", "127.0.0.1:0"];
    const agent = await startAgent(scene, server.upstream, "web", "127.0.0.1:1", { flags });
    const { fields } = await agent.waitFor("serving metrics");
    const ask = (method: string, endpoint: string): Promise<Response> =>
      fetch(`http://${server.proxy}/`, { method, headers: { "x-piko-endpoint": endpoint } });
    const unreachable = await (await ask("GET", "web")).text();
    expect(unreachable).toContain("error");
    const agentSum = 'piko_agent_response_size_bytes_sum{endpoint="web"}';
    expect(await metric(String(fields["addr"]), agentSum)).toBe(unreachable.length);
    const nobody = await (await ask("GET", "nobody")).text();
    await ask("HEAD", "nobody");
    const sum = unreachable.length + nobody.length;
    expect(await metric(server.admin, "piko_proxy_response_size_bytes_sum")).toBe(sum);
    expect(await metric(server.admin, "piko_proxy_response_size_bytes_count")).toBe(3);
  });
});

describe("a TCP listener's connections", () => {
  it("are logged under the access log's name, as in Go", async () => {
    const server = await startServer(scene);
    const echo = await startEchoService(scene);
    const agent = await startAgent(scene, server.upstream, "echo", echo.addr, { mode: "tcp" });
    const forward = await startForward(scene, server.proxy, "echo");
    const client = await RawClient.connect(scene, forward.addr);
    client.send("hello");
    expect((await client.take(5)).toString()).toBe("hello");
    client.socket.end();
    for (const message of ["connection opened", "connection closed"]) {
      expect((await agent.waitFor(message)).fields).toMatchObject({ subsystem: "proxy.tcp.access" });
    }
  });
});
