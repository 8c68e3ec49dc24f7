// What the access logs of server and agent say of a request, and what they never say; and what its error adds to the metrics.

import { describe, expect, it } from "vitest";
import { metric } from "../harness/metrics.js";
import { startAgent, startForward, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService, startEchoService } from "../harness/raw-service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();

/** Names under which services and clients send what nobody else should know. */
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
  "X-Session: hunter2",
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

  it("shows what the configuration allows, and secrets not even then", async () => {
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
      request_headers: { "X-Api-Key": ["[redacted]"], "X-Session": ["hunter2"], Cookie: ["[redacted]"] },
    });
    expect((await requestLine(server.program)).response_headers).toEqual({ "Content-Type": ["text/plain"] });
  });
});

describe("an answer that isn't the service's", () => {
  it("counts with the bytes of its body, as in Go", async () => {
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
